//! Template structure of a coded video sequence (AV1 RTP specification §A.8.3).

use super::bits::BitReader;
use super::{FrameDependency, Indications, Layer};

/// Most templates that a structure can have: template ids have six bits.
const MAX_TEMPLATES: usize = 64;
/// Most decode targets (five bits, plus one).
pub const MAX_TARGETS: usize = 32;
/// Most spatial layers (§A.8.2: two bits).
const MAX_SPATIAL: u8 = 4;
/// Most temporal layers (three bits).
const MAX_TEMPORAL: u8 = 8;

/// Layer that each decode target shows, by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeTargets {
    count: u8,
    layers: [Layer; MAX_TARGETS],
}

impl DecodeTargets {
    /// Targets in that order.
    #[cfg(test)]
    pub(crate) fn of(layers: &[(u8, u8)]) -> Self {
        let mut targets =
            Self { count: u8::try_from(layers.len()).unwrap_or(1), layers: [Layer::default(); MAX_TARGETS] };
        for (layer, (spatial, temporal)) in targets.layers.iter_mut().zip(layers) {
            *layer = Layer { spatial: *spatial, temporal: *temporal };
        }
        targets
    }

    /// Number of decode targets, 1 to 32.
    #[must_use]
    pub const fn count(&self) -> u8 {
        self.count
    }

    /// Bitmask of all of them.
    #[must_use]
    pub const fn all(&self) -> u32 {
        u32::MAX >> (32 - self.count as u32)
    }

    /// Layer of a decode target; `None` beyond the count.
    #[must_use]
    pub fn layer(&self, target: u8) -> Option<Layer> {
        self.layers().get(usize::from(target)).copied()
    }

    /// Layers in the order of the targets.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        self.layers.get(..usize::from(self.count)).unwrap_or_default()
    }

    /// Bitmask of the targets that show no more than a layer.
    #[must_use]
    pub fn within(&self, limit: Layer) -> u32 {
        let fits = |layer: &Layer| layer.spatial <= limit.spatial && layer.temporal <= limit.temporal;
        self.layers()
            .iter()
            .enumerate()
            .filter(|(_, layer)| fits(layer))
            .fold(0, |mask, (i, _)| mask | 1 << i)
    }
}

/// Template structure: what the templates of a sequence stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Structure {
    template_id_offset: u8,
    targets: DecodeTargets,
    chains: u8,
    templates: Vec<FrameDependency>,
}

impl Structure {
    /// The decode targets.
    #[must_use]
    pub const fn targets(&self) -> &DecodeTargets {
        &self.targets
    }

    /// Number of chains.
    #[must_use]
    pub const fn chains(&self) -> u8 {
        self.chains
    }

    /// Templates in the order of their ids.
    #[must_use]
    pub fn templates(&self) -> &[FrameDependency] {
        &self.templates
    }

    /// What a template stands for; `None` for an id that the structure does not have.
    #[must_use]
    pub fn template(&self, template_id: u8) -> Option<FrameDependency> {
        let index = template_id.wrapping_sub(self.template_id_offset) & 0x3f;
        self.templates.get(usize::from(index)).copied()
    }

    /// Reads the structure; `None` when it is cut short or out of bounds.
    pub(super) fn read(bits: &mut BitReader<'_>) -> Option<Self> {
        let template_id_offset = bits.read_u8(6)?;
        let count = bits.read_u8(5)? + 1;
        let mut templates = read_layers(bits)?;
        for template in &mut templates {
            template.indications = Indications::read(bits, count)?;
        }
        for template in &mut templates {
            while bits.flag()? {
                template.references.insert(bits.read(4)? + 1);
            }
        }
        let chains = u8::try_from(bits.read_below(u32::from(count) + 1)?).ok()?;
        if chains > 0 {
            for _ in 0..count {
                bits.read_below(chains.into())?; // which chain protects the target
            }
            for _ in 0..templates.len() * usize::from(chains) {
                bits.read(4)?;
            }
        }
        if bits.flag()? {
            let spatial_layers = templates.last().map_or(0, |last| last.layer.spatial) + 1;
            for _ in 0..spatial_layers {
                bits.read(32)?; // width and height
            }
        }
        let targets = DecodeTargets { count, layers: layers_of_targets(&templates) };
        Some(Self { template_id_offset, targets, chains, templates })
    }
}

/// Layers of the templates, which rise.
fn read_layers(bits: &mut BitReader<'_>) -> Option<Vec<FrameDependency>> {
    let mut layer = Layer { spatial: 0, temporal: 0 };
    let mut templates = vec![FrameDependency::of(layer)];
    loop {
        match bits.read(2)? {
            0 => {}
            1 => layer.temporal += 1,
            2 => layer = Layer { spatial: layer.spatial + 1, temporal: 0 },
            _ => return Some(templates),
        }
        if templates.len() == MAX_TEMPLATES || layer.spatial == MAX_SPATIAL || layer.temporal == MAX_TEMPORAL
        {
            return None;
        }
        templates.push(FrameDependency::of(layer));
    }
}

/// A target shows the highest layers of the frames that it has.
fn layers_of_targets(templates: &[FrameDependency]) -> [Layer; MAX_TARGETS] {
    let mut layers = [Layer::default(); MAX_TARGETS];
    for template in templates {
        for (target, layer) in (0..).zip(&mut layers) {
            if template.indications.has(target) {
                layer.spatial = layer.spatial.max(template.layer.spatial);
                layer.temporal = layer.temporal.max(template.layer.temporal);
            }
        }
    }
    layers
}
