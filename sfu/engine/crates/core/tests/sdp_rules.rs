//! One rule of session description at a time, on small hand-made texts.

#![allow(clippy::unwrap_used)]

use plenum_core::sdp::{
    CodecPolicy, Direction, LineRole, LineUse, LocalLine, OfferedMedia, RemoteAnswer, RemoteOffer, SdpError,
    StartBitrate, finish_description,
};
use plenum_core::{MediaKind, PublishLine, UpTrackId};

const SESSION: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n";

fn lines(lines: &[&str]) -> String {
    lines.iter().fold(SESSION.to_owned(), |text, line| text + line + "\r\n")
}

fn parse(text: &str) -> RemoteOffer {
    RemoteOffer::parse(text, &CodecPolicy::default()).unwrap()
}

/// The only media of an offer with one line.
fn media(attributes: &[&str]) -> OfferedMedia {
    let text =
        lines(&[&["m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=rtpmap:111 opus/48000/2"][..], attributes].concat());
    parse(&text).media.remove(0)
}

fn publish_line(mime_type: &str) -> PublishLine {
    PublishLine {
        mid: "0".into(),
        up_track: UpTrackId(1),
        codec: Some(mime_type.into()),
        codec_only: false,
        dtx: false,
        stereo: false,
        red: true,
        speaker: false,
        muted: false,
        trailer: None,
    }
}

/// m-line and codecs that are left of a video line.
fn kept(formats: &str, attributes: &[&str]) -> (String, Vec<String>) {
    let head = format!("m=video 9 UDP/TLS/RTP/SAVPF {formats}");
    let text = lines(&[&[head.as_str(), "a=mid:0"][..], attributes].concat());
    let offer = parse(&text);
    let filtered = offer.text_for(&LineUse::default());
    let line = filtered.lines().find(|line| line.starts_with("m=")).unwrap();
    (line.rsplit_once("SAVPF ").unwrap().1.to_owned(), offer.media[0].mime_types.clone())
}

#[test]
fn reads_names_of_streams_and_tracks() {
    for (attributes, stream, track) in [
        (&["a=mid:0", "a=msid:stream track"][..], "stream", "track"),
        (&["a=mid:0", "a=msid:- track"], "", "track"),
        (&["a=mid:0", "a=msid:stream"], "stream", ""),
        (&["a=mid:0", "a=ssrc:1 cname:x", "a=ssrc:1 msid:stream track"], "stream", "track"),
        (&["a=mid:0"], "", ""),
    ] {
        let media = media(attributes);
        assert_eq!((media.stream_id.as_str(), media.track_id.as_str()), (stream, track), "{attributes:?}");
    }
}

#[test]
fn reads_restriction_ids_in_the_order_of_simulcast() {
    for (attributes, expected) in [
        (
            &["a=rid:f send", "a=rid:q send", "a=rid:h send", "a=simulcast:send q;h;f"][..],
            &["q", "h", "f"][..],
        ),
        (&["a=rid:q send pt=111", "a=rid:h send", "a=simulcast:send ~q;h,x"], &["q", "h"]),
        (&["a=rid:q send", "a=rid:r recv", "a=simulcast:recv r send q"], &["q"]),
        (&["a=rid:q send", "a=rid:h send"], &["q", "h"]),
        (&["a=rid:q recv", "a=simulcast:recv q"], &[]),
        (&["a=simulcast:send q;h"], &[]),
        (&[], &[]),
    ] {
        let attributes = [&["a=mid:0"], attributes].concat();
        assert_eq!(media(&attributes).rids, expected, "{attributes:?}");
    }
}

#[test]
fn directions_follow_use() {
    use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
    for (attribute, read, published, assigned) in [
        ("a=sendrecv", SendRecv, "a=sendonly", "a=recvonly"),
        ("a=x", SendRecv, "a=sendonly", "a=recvonly"),
        ("a=sendonly", SendOnly, "a=sendonly", "a=inactive"),
        ("a=recvonly", RecvOnly, "a=inactive", "a=recvonly"),
        ("a=inactive", Inactive, "a=inactive", "a=inactive"),
    ] {
        let text =
            lines(&["m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=rtpmap:111 opus/48000/2", attribute, "a=mid:0"]);
        let offer = parse(&text);
        assert_eq!(offer.media[0].direction, read);
        for (published, assigned, expected) in
            [(&["0"][..], &[][..], published), (&[], &["0"], assigned), (&["9"], &["9"], "a=inactive")]
        {
            let filtered = offer.text_for(&LineUse { published, assigned, ..LineUse::default() });
            let directions: Vec<&str> = filtered
                .lines()
                .filter(|line| ["a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"].contains(line))
                .collect();
            assert_eq!(directions, [expected], "{attribute} {published:?} {assigned:?}");
        }
    }
}

#[test]
fn a_port_of_zero_means_rejected_unless_bundled() {
    let line = |mid: &str| {
        let mid = format!("a=mid:{mid}");
        parse(&lines(&["m=audio 0 UDP/TLS/RTP/SAVPF 111", "a=rtpmap:111 opus/48000/2", "a=recvonly", &mid]))
    };
    assert_eq!(line("1").receiving(MediaKind::Audio).count(), 1);
    assert_eq!(line("2").receiving(MediaKind::Audio).count(), 0);
}

#[test]
fn finds_the_ice_user_wherever_it_is() {
    let line = ["m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=rtpmap:111 opus/48000/2", "a=mid:0"];
    assert_eq!(parse(&lines(&line)).ice_ufrag(), "");
    assert_eq!(parse(&lines(&[&line[..], &["a=ice-ufrag:abcd"]].concat())).ice_ufrag(), "abcd");
    let session = lines(&[&["a=ice-ufrag:sess"], &line[..], &["a=ice-ufrag:abcd"]].concat());
    assert_eq!(parse(&session).ice_ufrag(), "sess");
}

#[test]
fn keeps_one_payload_type_per_codec_and_its_rtx() {
    const MODE_1: &str = "packetization-mode=1";
    let h264 =
        |payload_type: u8, rest: &str| format!("a=fmtp:{payload_type} level-asymmetry-allowed=1;{rest}");
    let map = |payload_type: u8, name: &str| format!("a=rtpmap:{payload_type} {name}/90000");
    let constrained = h264(102, &format!("{MODE_1};profile-level-id=42e01f"));
    let baseline = h264(103, &format!("{MODE_1};profile-level-id=42001f"));
    let other_mode = h264(104, "packetization-mode=0;profile-level-id=42e01f");
    let interleaved = h264(106, "packetization-mode=2;profile-level-id=42e01f");
    let bad_level = h264(105, &format!("{MODE_1};profile-level-id=42e0zz"));
    for (formats, attributes, expected, codecs) in [
        (
            "103 102 104",
            vec![
                map(102, "H264"),
                map(103, "H264"),
                map(104, "H264"),
                constrained,
                baseline.clone(),
                other_mode.clone(),
            ],
            "102 104",
            &["video/H264"][..],
        ),
        (
            "103 104",
            vec![map(103, "H264"), map(104, "H264"), baseline, other_mode.clone()],
            "103 104",
            &["video/H264"],
        ),
        (
            "104 96",
            vec![map(104, "H264"), map(96, "VP8"), other_mode],
            "104 96",
            &["video/H264", "video/VP8"],
        ),
        ("106 96", vec![map(106, "H264"), map(96, "VP8"), interleaved], "96", &["video/VP8"]),
        ("105 96", vec![map(105, "H264"), map(96, "vp8"), bad_level], "96", &["video/VP8"]),
        ("96 97", vec![map(96, "VP8"), map(97, "VP8")], "96", &["video/VP8"]),
        (
            "97 96 98",
            vec![
                map(96, "VP8"),
                map(97, "RTX"),
                map(98, "rtx"),
                "a=fmtp:97 apt=96".into(),
                "a=fmtp:98 apt=96".into(),
            ],
            "97 96",
            &["video/VP8"],
        ),
        ("96 97", vec![map(96, "VP8"), map(97, "rtx"), "a=fmtp:97 apt=95".into()], "96", &["video/VP8"]),
        (
            "98 100",
            vec![map(98, "VP9"), map(100, "VP9"), "a=fmtp:98 profile-id=2".into()],
            "100",
            &["video/VP9"],
        ),
        (
            "98 96",
            vec![map(98, "VP9"), map(96, "VP8"), "a=fmtp:98 profile-id=2".into()],
            "98 96",
            &["video/VP9", "video/VP8"],
        ),
        (
            "98 96",
            vec![map(98, "VP9"), map(96, "VP8"), "a=fmtp:98 profile-id=1".into()],
            "96",
            &["video/VP8"],
        ),
        (
            "116 117",
            vec![
                map(116, "H265"),
                map(117, "rtx"),
                "a=fmtp:116 level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST".into(),
                "a=fmtp:117 apt=116".into(),
            ],
            "116 117",
            &["video/H265"],
        ),
        ("45", vec![map(45, "AV1"), "a=fmtp:45 level-idx=5; Profile=0 ;tier=0".into()], "45", &["video/AV1"]),
        ("96 45", vec![map(96, "VP8"), map(45, "AV1"), "a=fmtp:45 profile=1".into()], "96", &["video/VP8"]),
        ("96 99", vec!["a=rtpmap:96 VP8/48000".into(), map(99, "VP9")], "99", &["video/VP9"]),
        ("100 101", vec![map(100, "red"), map(101, "ulpfec")], "100", &[]),
    ] {
        let attributes: Vec<&str> = attributes.iter().map(String::as_str).collect();
        let (line, mime_types) = kept(formats, &attributes);
        assert_eq!(
            (line.as_str(), mime_types.as_slice()),
            (expected, &codecs.iter().map(ToString::to_string).collect::<Vec<_>>()[..]),
            "{attributes:?}"
        );
    }
}

/// What is left in a line without a usable codec must not mean anything to the transport.
#[test]
fn a_line_of_which_nothing_is_kept_names_no_codec() {
    let text = lines(&[
        "m=video 9 UDP/TLS/RTP/SAVPF 104 105",
        "a=mid:0",
        "a=rtpmap:104 H264/90000",
        "a=fmtp:104 packetization-mode=2;profile-level-id=42e01f",
        "a=rtcp-fb:104 nack",
        "a=rtpmap:105 rtx/90000",
        "a=fmtp:105 apt=104",
        "m=video 9 UDP/TLS/RTP/SAVPF 104",
        "a=mid:1",
        "a=rtpmap:104 VP8/90000",
    ]);
    let offer = parse(&text);
    assert_eq!(offer.media[0].mime_types, [""; 0]);
    let filtered = offer.text_for(&LineUse { published: &["0"], assigned: &["0"], ..LineUse::default() });
    let first = filtered.split("\r\nm=").nth(1).unwrap();
    assert!(first.starts_with("video 9 UDP/TLS/RTP/SAVPF 104\r\n"), "{first}");
    assert!(
        first.contains("a=rtpmap:104 unused/90000") && !first.contains("fmtp") && !first.contains("rtcp-fb")
    );
    assert!(first.ends_with("a=inactive"), "{first}");
}

#[test]
fn red_needs_the_opus_that_is_kept() {
    for (parameters, expected) in [
        ("a=fmtp:63 111/111", "111 63"),
        ("a=fmtp:63 111/111/111", "111 63"),
        ("a=fmtp:63 111/9", "111"),
        ("a=fmtp:63 9/9", "111"),
        ("a=x", "111"),
    ] {
        let text = lines(&[
            "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9",
            "a=mid:0",
            "a=rtpmap:111 opus/48000/2",
            "a=rtpmap:63 red/48000/2",
            "a=rtpmap:9 G722/8000",
            parameters,
        ]);
        let filtered = parse(&text).text_for(&LineUse::default());
        assert!(filtered.contains(&format!("\r\nm=audio 9 UDP/TLS/RTP/SAVPF {expected}\r\n")), "{filtered}");
        assert_eq!(filtered.contains("red/48000"), expected.contains("63"), "{filtered}");
    }
}

#[test]
fn static_payload_types_need_no_map() {
    let text = lines(&["m=audio 9 UDP/TLS/RTP/SAVPF 8 0 13", "a=mid:0"]);
    assert_eq!(parse(&text).media[0].mime_types, ["audio/PCMA", "audio/PCMU"]);
}

#[test]
fn a_line_without_any_format_is_malformed() {
    for formats in ["", " 99"] {
        let text = lines(&[&format!("m=video 9 UDP/TLS/RTP/SAVPF{formats}"), "a=mid:0"]);
        let error = RemoteOffer::parse(&text, &CodecPolicy::default()).err();
        assert_eq!(error, Some(SdpError::Malformed { line: 6 }));
    }
}

#[test]
fn errors_are_fit_for_the_peer() {
    for (error, text) in [
        (SdpError::Malformed { line: 7 }, "malformed session description at line 7"),
        (SdpError::TooLarge, "session description is too large"),
        (SdpError::BadMid { line: 3 }, "missing, unusable or repeated a=mid at line 3"),
        (SdpError::DuplicatePayloadType { payload_type: 96 }, "payload type 96 is used for two codecs"),
    ] {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn opus_without_parameters_gets_some_when_they_are_needed() {
    let text = lines(&["m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=mid:0", "a=rtpmap:111 opus/48000/2"]);
    let mut line = publish_line("audio/opus");
    (line.dtx, line.stereo) = (true, true);
    let finish = |line: &PublishLine| {
        finish_description(
            &text,
            &[LocalLine { mid: "0", role: LineRole::Receiving(line), start_bitrates: &[] }],
            &[],
        )
    };
    assert!(finish(&line).ends_with("a=fmtp:111 usedtx=1;stereo=1;maxaveragebitrate=510000\r\n"));
    (line.dtx, line.stereo) = (false, false);
    assert_eq!(finish(&line), text);
}

#[test]
fn the_encoder_starts_where_its_client_wants_it() {
    let head = [
        "m=video 9 UDP/TLS/RTP/SAVPF 96 97 102",
        "a=mid:0",
        "a=rtpmap:96 VP8/90000",
        "a=rtpmap:97 rtx/90000",
    ];
    let own = [
        "a=fmtp:96 x-google-start-bitrate=405",
        "a=fmtp:97 apt=96",
        "a=rtpmap:102 H264/90000",
        "a=fmtp:102 packetization-mode=1;profile-level-id=42e01f;x-google-start-bitrate=900;x-google-max-bitrate=b",
    ];
    let offer = parse(&lines(&[&head[..], &own].concat()));
    let starts = &offer.media[0].start_bitrates;
    assert_eq!(
        *starts,
        [StartBitrate { payload_type: 96, kbps: 405 }, StartBitrate { payload_type: 102, kbps: 900 }]
    );
    let ours = ["a=fmtp:97 apt=96", "a=rtpmap:102 H264/90000", "a=fmtp:102 packetization-mode=1"];
    let answer = lines(&[&head[..], &ours].concat());
    let line = publish_line("video/vp8");
    let receiving = LocalLine { mid: "0", role: LineRole::Receiving(&line), start_bitrates: starts };
    let finished = finish_description(&answer, &[receiving], &[]);
    let parameters: Vec<&str> = finished.lines().filter(|line| line.starts_with("a=fmtp:")).collect();
    assert_eq!(
        parameters,
        [
            "a=fmtp:97 apt=96",
            "a=fmtp:102 packetization-mode=1;x-google-start-bitrate=900",
            "a=fmtp:96 x-google-start-bitrate=405",
        ]
    );
}

#[test]
fn a_client_that_does_not_heed_the_order_gets_one_codec() {
    let text = lines(&[
        "m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99",
        "a=mid:0",
        "a=recvonly",
        "a=rtpmap:96 VP8/90000",
        "a=rtpmap:97 rtx/90000",
        "a=fmtp:97 apt=96",
        "a=rtpmap:98 VP9/90000",
        "a=fmtp:98 profile-id=0",
        "a=rtpmap:99 rtx/90000",
        "a=fmtp:99 apt=98",
    ]);
    for (mime_type, codec_only, expected) in [
        ("video/VP9", false, "98 99 96 97"),
        ("video/VP9", true, "98 99"),
        ("video/AV1", true, "96 97 98 99"), // another one is better than none
    ] {
        let publish = PublishLine { codec_only, ..publish_line(mime_type) };
        let line = LocalLine { mid: "0", role: LineRole::Receiving(&publish), start_bitrates: &[] };
        let answer = finish_description(&text, &[line], &[]);
        assert!(answer.contains(&format!("m=video 9 UDP/TLS/RTP/SAVPF {expected}\r\n")), "{answer}");
        assert_eq!(answer.contains("VP8"), expected.contains("96"), "{answer}");
    }
}

#[test]
fn text_that_is_no_description_stays() {
    assert_eq!(finish_description("no description", &[], &[]), "no description");
}

#[test]
fn streams_are_named_where_the_client_sends_and_within_reason() {
    let named = |count: u32| {
        (1..=count).fold(String::new(), |text, ssrc| text + &format!("a=ssrc:{ssrc} cname:x\r\n"))
    };
    let line = |mid: &str, direction: &str, sources: &str| {
        format!("m=video 9 X 96\r\na=mid:{mid}\r\n{direction}\r\na=rtpmap:96 VP8/90000\r\n{sources}")
    };
    let text = format!(
        "v=0\r\n{}{}{}",
        line("cam", "a=sendonly", "a=ssrc:1 cname:x\r\na=ssrc-group:FID 1 2\r\na=ssrc:2 cname:x\r\n"),
        line("idle", "a=recvonly", &named(1)),
        line("wild", "a=sendonly", &named(17)),
    );
    let offer = parse(&text);
    let published = ["cam", "idle", "wild"];
    let named_for = |lines: LineUse<'_>| offer.text_for(&lines).matches("a=ssrc").count();
    assert_eq!(named_for(LineUse { published: &published, ..LineUse::default() }), 3);
    assert_eq!(named_for(LineUse { published: &published, without_sources: true, ..LineUse::default() }), 0);
    assert_eq!(named_for(LineUse { published: &["wild"], assigned: &["idle"], ..LineUse::default() }), 0);
    assert_eq!(offer.sources_of(&published).collect::<Vec<_>>(), [1, 2, 1]);
    let answer = RemoteAnswer::parse(&text, &CodecPolicy::default()).unwrap();
    assert!(!answer.text().contains("a=ssrc"), "we send on the lines of an answer");
}

#[test]
fn restriction_ids_beyond_reason_are_not_read() {
    let declared = (0..1_000).fold(String::new(), |text, rid| text + &format!("a=rid:r{rid} send\r\n"));
    let order: Vec<String> = (0..1_000).rev().map(|rid| format!("r{rid}")).collect();
    for simulcast in [String::new(), format!("a=simulcast:send {}\r\n", order[..200].join(";"))] {
        let offer = parse(&format!(
            "v=0\r\nm=video 9 X 96\r\na=mid:0\r\na=rtpmap:96 VP8/90000\r\n{declared}{simulcast}"
        ));
        assert_eq!(offer.media[0].rids.len(), 16);
    }
}

/// Feedback that a line of ours asks for or answers, by payload type, after the transport has written `nack` for all audio
/// but RED.
fn audio_feedback(role: Option<LineRole<'_>>) -> Vec<String> {
    let text = lines(&[
        "m=audio 9 UDP/TLS/RTP/SAVPF 63 111 0 8",
        "a=mid:0",
        "a=rtpmap:111 opus/48000/2",
        "a=rtcp-fb:111 nack",
        "a=rtpmap:63 red/48000/2",
        "a=fmtp:63 111/111",
        "a=rtpmap:0 PCMU/8000",
        "a=rtcp-fb:0 nack",
        "a=rtpmap:8 PCMA/8000",
        "a=rtcp-fb:8 nack",
    ]);
    let role = role.map(|role| LocalLine { mid: "0", role, start_bitrates: &[] });
    let finished = finish_description(&text, role.as_slice(), &[]);
    finished.lines().filter(|line| line.starts_with("a=rtcp-fb:")).map(str::to_owned).collect()
}

#[test]
fn audio_may_be_asked_for_by_subscribers_and_publishers_are_not_asked() {
    let plain = ["a=rtcp-fb:111 nack", "a=rtcp-fb:0 nack", "a=rtcp-fb:8 nack"];
    let sending = LineRole::Sending {
        stream_id: "PA_1|TR_1",
        track_sid: "TR_1",
        stereo: false,
        ssrcs: Some((1, None)),
        transport_cc: false,
    };
    assert_eq!(audio_feedback(Some(sending)), plain);
    let line = publish_line("audio/opus");
    assert_eq!(audio_feedback(Some(LineRole::Receiving(&line))), [""; 0]);
    assert_eq!(audio_feedback(None), [""; 0]);
}
