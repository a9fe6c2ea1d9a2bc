//! The command line of `plenum-load`.

use std::time::Duration;

use lexopt::prelude::*;

use crate::error::LoadError;

/// Which way of joining is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinMode {
    /// `/rtc`: one association each way.
    Dual,
    /// `/rtc/v1`: one for both ways.
    Single,
}

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Arguments {
    /// `ws://host:port[/base]`
    pub url: String,
    /// API key.
    pub key: String,
    /// API secret.
    pub secret: String,
    /// Room name; a number is appended when there are several rooms.
    pub room: String,
    /// Participants of one room; 0: all in one.
    pub room_size: usize,
    /// How to join.
    pub mode: JoinMode,
    /// Participants that publish.
    pub publishers: usize,
    /// Participants that only subscribe.
    pub subscribers: usize,
    /// Whether publishers publish video, and its rate.
    pub video_bps: u64,
    /// Frames a second.
    pub fps: u32,
    /// Whether publishers publish audio.
    pub audio: bool,
    /// Data messages a second of each publisher.
    pub data_rate: u32,
    /// Bytes of each data message.
    pub data_bytes: usize,
    /// On `_lossy` in place of `_reliable`.
    pub data_lossy: bool,
    /// How long is measured.
    pub duration: Duration,
    /// How long joining and the begin of media may take.
    pub patience: Duration,
    /// Threads.
    pub threads: usize,
    /// Associations that may be under way at the same time.
    pub concurrency: usize,
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            url: "ws://127.0.0.1:7880".to_owned(),
            key: "devkey".to_owned(),
            secret: "secret".to_owned(),
            room: "load".to_owned(),
            room_size: 0,
            mode: JoinMode::Single,
            publishers: 1,
            subscribers: 10,
            video_bps: 0,
            fps: 30,
            audio: false,
            data_rate: 0,
            data_bytes: 100,
            data_lossy: false,
            duration: Duration::from_secs(10),
            patience: Duration::from_secs(60),
            threads: 1,
            concurrency: 16,
        }
    }
}

impl Arguments {
    /// Text for `--help`.
    pub const HELP: &str = "\
plenum-load: joins a server that speaks the LiveKit protocol, publishes, subscribes, counts

  --url ws://host:port      server                        --key KEY --secret SECRET
  --room NAME               room                          --room-size N   several rooms of N (0: one)
  --mode single|dual        /rtc/v1 or /rtc               --publishers N --subscribers N
  --video-bps N --fps N     each publisher's video (0: none)
  --audio                   each publisher's audio, 50 packets a second
  --data-rate N --data-bytes N --data-lossy               each publisher's data messages
  --duration S --patience S --threads N --concurrency N

Lines of JSON on standard output: joined, measuring, result.";

    /// Reads the process's arguments; `None` when help is asked for.
    pub fn from_environment() -> Result<Option<Self>, LoadError> {
        Self::parse(&mut lexopt::Parser::from_env())
    }

    fn parse(parser: &mut lexopt::Parser) -> Result<Option<Self>, LoadError> {
        let mut arguments = Self::default();
        while let Some(argument) = parser.next()? {
            let name = match &argument {
                Long("help") | Short('h') => return Ok(None),
                Long(name) => (*name).to_owned(),
                _ => return Err(argument.unexpected().into()),
            };
            if !(arguments.take_flag(&name)
                || arguments.take_text(&name, parser)?
                || arguments.take_number(&name, parser)?)
            {
                return Err(lexopt::Error::UnexpectedOption(format!("--{name}")).into());
            }
        }
        Ok(Some(arguments))
    }

    fn take_flag(&mut self, name: &str) -> bool {
        match name {
            "audio" => self.audio = true,
            "data-lossy" => self.data_lossy = true,
            _ => return false,
        }
        true
    }

    fn take_text(&mut self, name: &str, parser: &mut lexopt::Parser) -> Result<bool, LoadError> {
        let target = match name {
            "url" => &mut self.url,
            "key" => &mut self.key,
            "secret" => &mut self.secret,
            "room" => &mut self.room,
            "mode" => {
                let value = parser.value()?.string()?;
                self.mode = match value.as_str() {
                    "single" => JoinMode::Single,
                    "dual" => JoinMode::Dual,
                    _ => return Err(lexopt::Error::from("--mode is single or dual").into()),
                };
                return Ok(true);
            }
            _ => return Ok(false),
        };
        *target = parser.value()?.string()?;
        Ok(true)
    }

    fn take_number(&mut self, name: &str, parser: &mut lexopt::Parser) -> Result<bool, LoadError> {
        match name {
            "room-size" => self.room_size = parser.value()?.parse()?,
            "publishers" => self.publishers = parser.value()?.parse()?,
            "subscribers" => self.subscribers = parser.value()?.parse()?,
            "video-bps" => self.video_bps = parser.value()?.parse()?,
            "fps" => self.fps = parser.value()?.parse::<u32>()?.max(1),
            "data-rate" => self.data_rate = parser.value()?.parse()?,
            "data-bytes" => self.data_bytes = parser.value()?.parse()?,
            "duration" => self.duration = Duration::from_secs(parser.value()?.parse()?),
            "patience" => self.patience = Duration::from_secs(parser.value()?.parse()?),
            "threads" => self.threads = parser.value()?.parse::<usize>()?.max(1),
            "concurrency" => self.concurrency = parser.value()?.parse::<usize>()?.max(1),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Arguments>, LoadError> {
        Arguments::parse(&mut lexopt::Parser::from_args(line.split_whitespace()))
    }

    #[test]
    fn options_are_read() {
        let arguments =
            parse("--mode dual --subscribers 400 --video-bps=1500000 --audio --duration 8").unwrap().unwrap();
        assert_eq!(
            (arguments.mode, arguments.subscribers, arguments.video_bps),
            (JoinMode::Dual, 400, 1_500_000)
        );
        assert!(arguments.audio && !arguments.data_lossy);
        assert_eq!(arguments.duration, Duration::from_secs(8));
        assert!(parse("--help").unwrap().is_none());
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for line in ["--mode sideways", "--wings 2", "--fps many", "--fps", "stray"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
