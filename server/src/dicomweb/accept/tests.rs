//! Behaviours 1 to 7, as tables of what clients send.

#![allow(clippy::unwrap_used)]

use super::*;

const JLS: &str = "1.2.840.10008.1.2.4.80";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";

/// An instance that is stored as JPEG-LS: as it is, or decoded, alone or in parts; its bulk data.
fn instance() -> [Offer<'static>; 5] {
    [
        Offer::multipart(DICOM).syntax(JLS),
        Offer::multipart(DICOM).syntax(EXPLICIT),
        Offer::single(DICOM).syntax(JLS),
        Offer::single(DICOM).syntax(EXPLICIT),
        Offer::multipart(OCTETS).syntax(EXPLICIT),
    ]
}

/// A frame of it.
fn frame() -> [Offer<'static>; 4] {
    [
        Offer::multipart("image/jls").syntax(JLS),
        Offer::multipart(OCTETS).syntax(EXPLICIT),
        Offer::single("image/jls").syntax(JLS),
        Offer::single(OCTETS).syntax(EXPLICIT),
    ]
}

fn chosen(accept: &str, offers: &[Offer<'_>]) -> Option<usize> {
    Accept::parse(accept).choose(offers).ok()
}

#[test]
fn behaviour_1_quotes_or_none() {
    for accept in [
        "multipart/related; type=\"application/dicom\"; transfer-syntax=*",
        "multipart/related; type=application/dicom; transfer-syntax=*",
        "multipart/related;type=application/dicom;transfer-syntax=\"*\"",
        "multipart/related; type='application/dicom', multipart/related; transfer-syntax=*",
        "multipart/related; transfer-syntax=*",
        "MULTIPART/RELATED; TYPE=\"Application/Dicom\"; Transfer-Syntax=*",
    ] {
        assert_eq!(chosen(accept, &instance()), Some(0), "{accept}");
    }
    let octets = "multipart/related; type=application/octet-stream; transfer-syntax=*";
    assert_eq!(chosen(octets, &frame()), Some(1));
}

#[test]
fn behaviour_2_lists_weights_and_order() {
    let both = [Offer::single(DICOM_JSON), Offer::multipart(DICOM_XML)];
    let accepts = [
        ("application/dicom+json, multipart/related; type=\"application/dicom+xml\"", 0),
        ("application/dicom+json;q=0.5, multipart/related;q=0.9;type=\"application/dicom+xml\"", 1),
        ("multipart/related; q=0.4; type=application/dicom+xml,application/dicom+json;q=0.5", 0),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", 0),
    ];
    for (accept, place) in accepts {
        assert_eq!(chosen(accept, &both), Some(place), "{accept}");
    }
    assert_eq!(chosen("application/dicom+json;q=0", &both), None);
    assert_eq!(chosen("*/*, application/dicom+json;q=0", &both), Some(1));
    let listed = format!(
        "multipart/related; type=\"image/jls\"; transfer-syntax={JLS};q=0.9, \
         multipart/related; type=\"application/octet-stream\""
    );
    assert_eq!(chosen(&listed, &frame()), Some(1));
    // A syntax by name is more particular than a star.
    let star = format!(
        "multipart/related; type=\"application/dicom\"; transfer-syntax=*, \
         multipart/related; type=\"application/dicom\"; transfer-syntax={JLS};q=0.1"
    );
    assert_eq!(chosen(&star, &instance()), Some(1));
}

#[test]
fn behaviour_3_no_syntax_is_explicit_and_a_star_is_as_stored() {
    let accepts = [
        ("multipart/related; type=\"application/dicom\"", 1),
        ("multipart/related", 1),
        ("application/dicom", 3),
        ("application/dicom; transfer-syntax=*", 2),
        ("application/dicom; transfer-syntax=1.2.840.10008.1.2.4.80", 2),
        ("*/*", 0),
    ];
    for (accept, place) in accepts {
        assert_eq!(chosen(accept, &instance()), Some(place), "{accept}");
    }
}

#[test]
fn behaviour_4_retired_syntaxes_are_not_offered_so_not_chosen() {
    for uid in ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.3"] {
        let accept = format!("application/dicom; transfer-syntax={uid}");
        assert_eq!(chosen(&accept, &instance()), None, "{uid}");
        let else_any = format!("{accept}, application/dicom;q=0.1");
        assert_eq!(chosen(&else_any, &instance()), Some(3), "{uid}");
    }
}

#[test]
fn behaviour_5_single_part_only_where_it_is_offered() {
    let study = [Offer::multipart(DICOM).syntax(JLS), Offer::multipart(DICOM).syntax(EXPLICIT)];
    assert_eq!(chosen("application/dicom; transfer-syntax=*", &study), None);
    assert_eq!(chosen("*/*", &study), Some(0));
    assert_eq!(chosen("multipart/*", &study), Some(0));
    assert_eq!(
        chosen("application/dicom, multipart/related;type=application/dicom", &study),
        Some(1)
    );
}

#[test]
fn behaviour_6_octets_of_an_instance_are_its_bulk_data() {
    let accept = "multipart/related; type=\"application/octet-stream\"";
    assert_eq!(chosen(accept, &instance()), Some(4));
}

#[test]
fn behaviour_7_frames_in_the_type_of_their_syntax() {
    let accepts = [
        ("multipart/related; type=\"image/jls\"", Some(0)),
        ("multipart/related; type=image/jls; transfer-syntax=*", Some(0)),
        ("multipart/related; type=\"image/jp2\"", None),
        ("multipart/related; type=\"image/jp2\", multipart/related; type=image/*", Some(0)),
        ("image/jls", Some(2)),
        ("application/octet-stream", Some(3)),
        ("image/jpeg;q=0.9, application/octet-stream;q=0.1", Some(3)),
    ];
    for (accept, place) in accepts {
        assert_eq!(chosen(accept, &frame()), place, "{accept}");
    }
}

#[test]
fn the_field_counts_where_nothing_of_the_parameter_can_be_given() {
    let both =
        |parameter: &str, field: &str| Accept::parse(parameter).or(field).choose(&frame()).ok();
    assert_eq!(both("image/jp2", "application/octet-stream"), Some(3));
    assert_eq!(both("image/jls", "application/octet-stream"), Some(2));
    assert_eq!(both("image/jls;q=0.1", "application/octet-stream"), Some(2));
    assert_eq!(both("image/jp2", "text/html"), None);
}

#[test]
fn an_offer_for_who_leaves_the_syntax_open() {
    let video = [Offer::single(DICOM).syntax(LEFT_OPEN)];
    for (accept, place) in [
        ("application/dicom", Some(0)),
        ("application/dicom; transfer-syntax=1.2.840.10008.1.2.1", None),
        ("application/dicom; transfer-syntax=\"\"", None),
    ] {
        assert_eq!(chosen(accept, &video), place, "{accept}");
    }
}

#[test]
fn mpeg_2_by_either_name() {
    let uid = "1.2.840.10008.1.2.4.100";
    let video = [Offer::single(media_type_of(uid)).syntax(uid)];
    for accept in ["video/mpeg", "Video/MPEG2", "video/mpeg2; transfer-syntax=*"] {
        assert_eq!(chosen(accept, &video), Some(0), "{accept}");
    }
    assert_eq!(chosen("video/mp4", &video), None);
}

#[test]
fn a_field_of_64_kb_is_no_trouble() {
    let long =
        "multipart/related; type=\"application/dicom\"; transfer-syntax=1.2.3, ".repeat(1000);
    assert_eq!(chosen(&long, &instance()), None);
    let mut long: String = "x/y;a=\"b,".repeat(8000);
    long.push_str("\", */*");
    assert_eq!(chosen(&long, &instance()), None);
}
