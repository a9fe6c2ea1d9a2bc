//! Real offers of Chromium and Firefox through filter, association and finishing patches.

#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::disallowed_methods)] // a beginning of time for associations that never run

use std::time::Instant;

use plenum_core::sdp::{
    CodecPolicy, Direction, LineRole, LineUse, LocalLine, OfferedMedia, PayloadTypes, RemoteAnswer,
    RemoteOffer, SdpError, finish_description,
};
use plenum_core::{LocalCandidate, MediaKind, PublishLine, UpTrackId};
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::{Candidate, Rtc};

const CHROMIUM_JOIN: &str = include_str!("offers/chromium_join_2.23.sdp");
const CHROMIUM_OLD_JOIN: &str = include_str!("offers/chromium_join_2.21.sdp");
const CHROMIUM_PUBLISH: &str = include_str!("offers/chromium_publish_av1.sdp");
const FIREFOX_JOIN: &str = include_str!("offers/firefox_join_153.sdp");

fn association() -> Rtc {
    let mut rtc = Rtc::builder()
        .set_rtp_mode(true)
        .set_ice_lite(true)
        .clear_codecs()
        .enable_opus(true, true)
        .enable_vp8(true)
        .enable_vp9(true)
        .enable_h264(true)
        .enable_av1(true)
        .build(Instant::now());
    rtc.add_local_candidate(Candidate::host("10.1.2.3:7882".parse().unwrap(), "udp").unwrap());
    rtc
}

fn accept(rtc: &mut Rtc, text: &str) -> String {
    let offer = SdpOffer::from_sdp_string(text).expect("the filtered offer parses");
    rtc.sdp_api().accept_offer(offer).expect("the filtered offer is acceptable").to_sdp_string()
}

fn parse(text: &str) -> RemoteOffer {
    RemoteOffer::parse(text, &CodecPolicy::default()).unwrap()
}

fn publish_line(mid: &str, codec: &str) -> PublishLine {
    PublishLine {
        mid: mid.into(),
        up_track: UpTrackId(1),
        codec: Some(codec.into()),
        codec_only: false,
        dtx: true,
        stereo: false,
        red: true,
        speaker: true,
        muted: false,
        trailer: None,
    }
}

/// The lines of the m-line with this mid.
fn section<'a>(text: &'a str, mid: &str) -> Vec<&'a str> {
    let wanted = format!("\r\na=mid:{mid}\r\n");
    let start = text.find(&wanted).unwrap();
    let from = text[..start].rfind("\r\nm=").unwrap() + 2;
    let to = text[start..].find("\r\nm=").map_or(text.len(), |end| start + end);
    text[from..to].lines().collect()
}

#[test]
fn reads_what_the_clients_offer() {
    for (text, video) in [
        (CHROMIUM_JOIN, &["video/VP8", "video/VP9", "video/H264", "video/AV1"][..]),
        (CHROMIUM_OLD_JOIN, &["video/VP8", "video/VP9", "video/H264", "video/AV1"]),
        (FIREFOX_JOIN, &["video/VP8", "video/VP9", "video/AV1"]),
    ] {
        let offer = parse(text);
        assert!(offer.has_data);
        assert!(!offer.ice_ufrag().is_empty());
        assert_eq!(offer.media.len(), 6);
        assert_eq!(offer.receiving(MediaKind::Audio).count(), 3);
        let mids: Vec<&str> = offer.receiving(MediaKind::Video).map(|media| media.mid.as_str()).collect();
        assert_eq!(mids, ["3", "4", "5"]);
        assert!(offer.media[3..].iter().all(|media| media.mime_types == video));
    }
    assert_eq!(
        parse(CHROMIUM_JOIN).media[0].mime_types,
        ["audio/opus", "audio/red", "audio/PCMU", "audio/PCMA"]
    );
    assert_eq!(parse(FIREFOX_JOIN).media[0].mime_types, ["audio/opus", "audio/PCMU", "audio/PCMA"]);
}

#[test]
fn reads_what_a_publisher_sends() {
    let offer = parse(CHROMIUM_PUBLISH);
    let sending: Vec<_> = offer.sending().collect();
    assert_eq!(sending.iter().map(|media| media.mid.as_str()).collect::<Vec<_>>(), ["7", "8"]);
    assert_eq!(sending[0].stream_id, "c533a413-a10b-434e-ae64-159e95c1de84");
    assert_eq!(sending[0].track_id, "f392abd2-7a32-4613-8c7d-522f9cdcb3bd");
    assert!(sending.iter().all(|media| media.direction == Direction::SendOnly));
}

#[test]
fn unassigned_lines_are_answered_inactive() {
    for text in [CHROMIUM_JOIN, CHROMIUM_OLD_JOIN, FIREFOX_JOIN] {
        let offer = parse(text);
        let filtered =
            offer.text_for(&LineUse { published: &[], assigned: &["1", "4"], ..LineUse::default() });
        for mid in ["1", "4"] {
            let is_estimated = section(&filtered, mid).iter().any(|line| line.contains("transport-wide-cc"));
            assert!(!is_estimated, "we do not estimate what we send: {mid} of {filtered}");
        }
        let answer = accept(&mut association(), &filtered);
        for mid in ["0", "2", "3", "5"] {
            assert!(section(&answer, mid).contains(&"a=inactive"), "{mid} of {answer}");
        }
        for mid in ["1", "4"] {
            assert!(section(&answer, mid).contains(&"a=sendonly"), "{mid} of {answer}");
        }
    }
}

#[test]
fn the_filter_keeps_the_lines_of_the_kept_codecs_alone() {
    let text = parse(CHROMIUM_JOIN).text_for(&LineUse::default());
    let video = section(&text, "3");
    assert_eq!(video[0], "m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99 108 109 114 115 45 46");
    for dropped in ["profile-id=2", "rtcp-rsize", "a=rtcp:9", "rtcp-xr", "ulpfec", "flexfec", "a=rtpmap:104 "]
    {
        assert!(!text.contains(dropped), "{dropped}");
    }
    assert!(
        video.contains(&"a=rtcp-fb:96 transport-cc"),
        "feedback is per payload type, for the whole association"
    );
    assert!(video.contains(&"a=fmtp:109 apt=108"));
    assert_eq!(section(&text, "0")[0], "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 0 8");
}

#[test]
fn a_policy_limits_codecs_on_every_line() {
    let policy = CodecPolicy { mime_types: vec!["audio/OPUS".into(), "video/vp8".into()] };
    let offer = RemoteOffer::parse(CHROMIUM_PUBLISH, &policy).unwrap();
    for media in &offer.media {
        let expected = if media.kind == MediaKind::Audio { "audio/opus" } else { "video/VP8" };
        assert_eq!(media.mime_types, [expected]);
    }
    let audio_only = CodecPolicy { mime_types: vec!["audio/opus".into()] };
    let offer = RemoteOffer::parse(CHROMIUM_PUBLISH, &audio_only).unwrap();
    assert_eq!(offer.receiving(MediaKind::Video).count(), 0);
    let mut rtc =
        Rtc::builder().set_rtp_mode(true).clear_codecs().enable_opus(true, false).build(Instant::now());
    let text = offer.text_for(&LineUse { published: &["7", "8"], assigned: &["3"], ..LineUse::default() });
    let answer = finish_description(&accept(&mut rtc, &text), &[], &[]);
    assert_eq!(
        section(&answer, "8")[0],
        "m=video 0 UDP/TLS/RTP/SAVPF 0",
        "this association has no video at all"
    );
    assert!(answer.contains("\r\na=group:BUNDLE 0 1 2 6 7\r\n"), "{answer}");
}

/// A refused line's place is used anew, and in the first place that ends the association.
#[test]
fn a_kind_without_codecs_keeps_its_lines_alive() {
    for (mime_type, kind, idle) in
        [("video/VP9", MediaKind::Audio, "opus"), ("audio/opus", MediaKind::Video, "VP8")]
    {
        let policy =
            CodecPolicy { mime_types: vec![mime_type.into(), "audio/red".into(), "video/rtx".into()] };
        let offer = RemoteOffer::parse(CHROMIUM_PUBLISH, &policy).unwrap();
        let text =
            offer.text_for(&LineUse { published: &["7", "8"], assigned: &["0", "3"], ..LineUse::default() });
        let answer = finish_description(&accept(&mut association(), &text), &[], &[]);
        assert!(answer.contains("\r\na=group:BUNDLE 0 1 2 3 4 5 6 7 8\r\n"), "{answer}");
        let of_kind = |media: &&OfferedMedia| media.kind == kind;
        assert!(offer.media.iter().filter(of_kind).count() > 0);
        for media in offer.media.iter().filter(of_kind) {
            assert_eq!(media.mime_types, [""; 0], "nothing can be published or sent on it");
            let lines = section(&answer, &media.mid);
            assert_eq!(lines[0].split(' ').count(), 4, "{}", lines[0]);
            assert!(lines.contains(&"a=inactive"), "{lines:?}");
            let maps: Vec<&&str> = lines.iter().filter(|line| line.starts_with("a=rtpmap:")).collect();
            assert!(maps.len() == 1 && maps[0].contains(idle), "{maps:?}");
        }
        assert_eq!(offer.receiving(kind).count(), 0);
    }
}

#[test]
fn candidates_are_in_the_first_line_that_is_not_refused() {
    for offered in [CHROMIUM_JOIN, CHROMIUM_OLD_JOIN, FIREFOX_JOIN] {
        for refuses_audio in [true, false] {
            let offer = parse(offered);
            let codecs = Rtc::builder().set_rtp_mode(true).clear_codecs().enable_vp8(true);
            let mut rtc = codecs.enable_opus(!refuses_audio, false).build(Instant::now());
            for address in ["10.1.2.3:7882", "10.1.2.4:7882"] {
                rtc.add_local_candidate(Candidate::host(address.parse().unwrap(), "udp").unwrap());
            }
            let answer =
                finish_description(&accept(&mut rtc, &offer.text_for(&LineUse::default())), &[], &[]);
            let group = answer.lines().find_map(|line| line.strip_prefix("a=group:BUNDLE ")).unwrap();
            let tagged = section(&answer, group.split(' ').next().unwrap());
            assert!(!tagged[0].contains(" 0 UDP/"), "{}", tagged[0]);
            assert_eq!(offer.media[0].kind, MediaKind::Audio);
            assert_eq!(section(&answer, &offer.media[0].mid)[0].starts_with("m=audio 0 "), refuses_audio);
            let count = |lines: &[&str]| lines.iter().filter(|line| line.starts_with("a=candidate:")).count();
            assert_eq!((count(&tagged), answer.matches("a=candidate:").count()), (2, 2), "{answer}");
        }
    }
}

#[test]
fn an_answer_carries_our_ids_and_only_where_we_send() {
    let offer = parse(CHROMIUM_PUBLISH);
    let text =
        offer.text_for(&LineUse { published: &["7", "8"], assigned: &["0", "3"], ..LineUse::default() });
    let answer = accept(&mut association(), &text);
    let (mut audio, mut video) = (publish_line("7", "audio/red"), publish_line("8", "video/H264"));
    audio.stereo = true;
    video.stereo = true;
    let sending = |mid, stereo| LocalLine {
        mid,
        role: LineRole::Sending {
            stream_id: "PA_x|TR_y",
            track_sid: "TR_y",
            stereo,
            ssrcs: Some((7, (mid == "3").then_some(9))),
            transport_cc: false,
        },
        start_bitrates: &[],
    };
    let receiving = |mid, line| LocalLine { mid, role: LineRole::Receiving(line), start_bitrates: &[] };
    let nat = [LocalCandidate {
        local: "10.1.2.3:7882".parse().unwrap(),
        advertised: vec!["203.0.113.7:7882".parse().unwrap()],
        tcp: false,
    }];
    let lines = [sending("0", true), sending("3", false), receiving("7", &audio), receiving("8", &video)];
    let finished = finish_description(&answer, &lines, &nat);

    assert!(finished.contains("\r\na=msid-semantic: WMS *\r\n"));
    assert!(finished.contains(" 203.0.113.7 7882 typ host") && !finished.contains("10.1.2.3"), "{finished}");
    let sent = section(&finished, "3");
    assert!(sent.contains(&"a=msid:PA_x|TR_y TR_y"));
    let sources = |mid| -> Vec<&str> {
        section(&finished, mid).into_iter().filter(|line| line.starts_with("a=ssrc")).collect()
    };
    assert_eq!(
        sources("3"),
        [
            "a=ssrc-group:FID 7 9",
            "a=ssrc:7 cname:PA_x|TR_y",
            "a=ssrc:7 msid:PA_x|TR_y TR_y",
            "a=ssrc:9 cname:PA_x|TR_y",
            "a=ssrc:9 msid:PA_x|TR_y TR_y",
        ],
        "none of the association's own"
    );
    assert_eq!(sources("0"), ["a=ssrc:7 cname:PA_x|TR_y", "a=ssrc:7 msid:PA_x|TR_y TR_y"]);
    assert!(sent.iter().all(|line| !line.contains("transport-cc") && !line.contains("transport-wide-cc")));
    assert!(section(&finished, "0").contains(&"a=fmtp:111 minptime=10;useinbandfec=1;sprop-stereo=1"));

    let received = section(&finished, "7");
    assert_eq!(received[0], "m=audio 9 UDP/TLS/RTP/SAVPF 63 111");
    let is_feedback = |line: &&str| line.contains("transport-cc") || line.contains("transport-wide-cc");
    assert_eq!(received.iter().find(|line| is_feedback(line)), None, "no part of a publisher's estimate");
    assert!(
        received
            .contains(&"a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1;stereo=1;maxaveragebitrate=510000")
    );
    let received = section(&finished, "8");
    assert_eq!(received[0], "m=video 9 UDP/TLS/RTP/SAVPF 108 109 114 115 96 97 98 99 45 46");
    assert!(received.iter().any(|line| line.ends_with("108 transport-cc")), "publishers get feedback");
    assert!(received.iter().any(|line| line.contains("transport-wide-cc")), "publishers get feedback");
    for mid in ["1", "4", "7", "8"] {
        let has_source = section(&finished, mid)
            .iter()
            .any(|line| line.starts_with("a=msid") || line.starts_with("a=ssrc"));
        assert!(!has_source, "{mid}");
    }
    assert_eq!(finished.matches("\r\nm=").count(), answer.matches("\r\nm=").count());
}

#[test]
fn red_leaves_the_answer_of_a_line_that_does_not_use_it() {
    let offer = parse(CHROMIUM_PUBLISH);
    let answer = accept(
        &mut association(),
        &offer.text_for(&LineUse { published: &["7"], assigned: &["0"], ..LineUse::default() }),
    );
    let line = PublishLine { red: false, dtx: false, ..publish_line("7", "audio/opus") };
    let finished = finish_description(
        &answer,
        &[LocalLine { mid: "7", role: LineRole::Receiving(&line), start_bitrates: &[] }],
        &[],
    );
    let received = section(&finished, "7");
    assert_eq!(received[0], "m=audio 9 UDP/TLS/RTP/SAVPF 111");
    assert!(received.iter().all(|line| !line.contains(":63 ")));
    assert!(received.contains(&"a=fmtp:111 minptime=10;useinbandfec=1"));
    assert_eq!(section(&finished, "0")[0], "m=audio 9 UDP/TLS/RTP/SAVPF 63 111", "other lines keep it");
}

#[test]
fn an_offer_of_ours_and_its_answer_pass() {
    let mut ours = association();
    let mut api = ours.sdp_api();
    let mid =
        api.add_media(str0m::media::MediaKind::Video, str0m::media::Direction::SendOnly, None, None, None);
    let (offer, pending) = api.apply().unwrap();
    let mid = mid.to_string();
    let role = LineRole::Sending {
        stream_id: "PA_x|TR_y",
        track_sid: "TR_y",
        stereo: false,
        ssrcs: Some((7, Some(9))),
        transport_cc: false,
    };
    let finished = finish_description(
        &offer.to_sdp_string(),
        &[LocalLine { mid: &mid, role, start_bitrates: &[] }],
        &[],
    );
    assert!(section(&finished, &mid).contains(&"a=msid:PA_x|TR_y TR_y"));
    assert!(!finished.contains("transport-wide-cc"));
    let profiles: Vec<&str> = finished.lines().filter(|line| line.contains("profile")).collect();
    assert_eq!(profiles.len(), 3, "two modes of H.264 and one VP9, as we take of clients: {profiles:?}");
    assert!(profiles.iter().any(|line| line.contains("packetization-mode=1;profile-level-id=42e01f")));

    let mut theirs = Rtc::new(Instant::now());
    let answer = accept(&mut theirs, &finished);
    let checked = RemoteAnswer::parse(&answer, &CodecPolicy::default()).unwrap();
    PayloadTypes::default().adopt_answer(&checked).unwrap();
    ours.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(checked.text()).unwrap()).unwrap();
}

/// Each of these made an association panic or misbehave when it came unfiltered.
#[test]
fn payload_types_with_two_meanings_are_refused() {
    let duplicate = |payload_type| Some(SdpError::DuplicatePayloadType { payload_type });
    for (text, error) in [
        (
            CHROMIUM_JOIN
                .replace("UDP/TLS/RTP/SAVPF 111 ", "UDP/TLS/RTP/SAVPF 98 ")
                .replace("a=rtpmap:111 opus", "a=rtpmap:98 opus")
                .replace("a=fmtp:63 111/111", "a=fmtp:63 98/98"),
            duplicate(98),
        ),
        (
            CHROMIUM_JOIN
                .replace("a=rtpmap:63 red", "a=rtpmap:96 red")
                .replace(" 111 63 ", " 111 96 ")
                .replace("a=fmtp:63 ", "a=fmtp:96 "),
            duplicate(96),
        ),
        (CHROMIUM_JOIN.replace("a=rtpmap:98 VP9/90000", "a=rtpmap:96 VP9/90000"), duplicate(96)),
        (CHROMIUM_JOIN.replace("SAVPF 96 97 ", "SAVPF 96 96 "), duplicate(96)),
        (CHROMIUM_JOIN.replace("SAVPF 96 97 ", "SAVPF 96 128 "), Some(SdpError::Malformed { line: 92 })),
        (
            CHROMIUM_JOIN.replace("a=rtpmap:96 VP8", "a=rtpmap:300 VP8"),
            Some(SdpError::Malformed { line: 94 }),
        ),
        (CHROMIUM_JOIN.replace("a=mid:1\r\n", "a=mid:0\r\n"), Some(SdpError::BadMid { line: 36 })),
        (CHROMIUM_JOIN.replace("a=mid:1\r\n", "a=mid:a-mid\r\n"), Some(SdpError::BadMid { line: 55 })),
        (CHROMIUM_JOIN.replace("a=mid:1\r\n", ""), Some(SdpError::BadMid { line: 36 })),
        (CHROMIUM_JOIN.replace("m=audio", "m=text"), Some(SdpError::Malformed { line: 8 })),
    ] {
        assert_eq!(RemoteOffer::parse(&text, &CodecPolicy::default()).err(), error);
    }
}

#[test]
fn a_later_offer_cannot_give_a_payload_type_another_meaning() {
    let mut known = PayloadTypes::default();
    known.adopt(&parse(CHROMIUM_JOIN)).unwrap();
    known.adopt(&parse(CHROMIUM_PUBLISH)).unwrap();
    let later =
        CHROMIUM_PUBLISH.replace(":96 VP8/90000", ":96 AV1/90000").replace(":45 AV1/90000", ":45 VP8/90000");
    let error = known.adopt(&parse(&later)).unwrap_err();
    assert!(matches!(error, SdpError::DuplicatePayloadType { payload_type: 96 | 45 }));
}
