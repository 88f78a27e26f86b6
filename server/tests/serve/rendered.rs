//! Rendered resources, thumbnails and WADO-URI against the real binary.

use crate::support::multipart::parts as parts_of;
use crate::support::object::{
    EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, MPEG4, Object, RLE, Value, rle,
};
use crate::support::server::{PARTS, Server, client, parts};
use crate::support::{Site, dicom};
use reqwest::blocking::Response;

const SERIES: &str = "/1.2.3/series/1.2.3.4";
const INSTANCE_NUMBER: u32 = 0x0020_0013;
const BURNED_IN: u32 = 0x0028_0301;

fn start(objects: &[Object]) -> (Site, Server) {
    let files: Vec<Vec<u8>> = objects.iter().map(Object::file).collect();
    start_with(&files)
}

fn start_with(files: &[Vec<u8>]) -> (Site, Server) {
    let site = Site::new();
    let server = Server::start(&site, &[]);
    let body = parts(&files.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let sent = client().post(server.studies()).header("content-type", PARTS).body(body).send();
    assert_eq!(sent.unwrap().status(), 200);
    (site, server)
}

fn get(server: &Server, path: &str, accept: &str) -> Response {
    client().get(format!("{}{path}", server.studies())).header("accept", accept).send().unwrap()
}

fn status(server: &Server, path: &str, accept: &str) -> u16 {
    get(server, path, accept).status().as_u16()
}

fn instance(sop: &str) -> String {
    format!("{SERIES}/instances/{sop}")
}

fn header(reply: &Response, name: &str) -> String {
    reply.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned()
}

/// Columns, rows and samples of a PNG.
fn png(bytes: &[u8]) -> (u32, u32, Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
    let mut samples = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut samples).unwrap();
    samples.truncate(info.buffer_size());
    (info.width, info.height, samples)
}

/// Columns and rows of a baseline JPEG.
fn jpeg_size(bytes: &[u8]) -> (u16, u16) {
    assert!(bytes.starts_with(&[0xFF, 0xD8, 0xFF]) && bytes.ends_with(&[0xFF, 0xD9]));
    let at = crate::support::multipart::find(bytes, &[0xFF, 0xC0]).expect("baseline");
    let number = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    (number(at + 7), number(at + 5))
}

/// 64 x 64 with the values 0 to 4095, of 16 bits.
fn ramp(syntax: &'static str, sop: &str) -> Object {
    let words = Value::Words((0..4096).collect());
    Object::new(syntax, sop).image(64, 64, 16, 1).pixels(*b"OW", words)
}

/// Frames of 8 x 8 pixels of 8 bits, each of one grey.
fn greys(sop: &str, greys: &[u8]) -> Object {
    let pixels = greys.iter().flat_map(|grey| [*grey; 64]).collect();
    let object = Object::new(EXPLICIT_LE, sop).image(8, 8, 8, greys.len() as u16);
    object.pixels(*b"OB", Value::Bytes(pixels))
}

/// No pixels.
fn report(sop: &str) -> Object {
    Object::new(EXPLICIT_LE, sop).text(0x0040_A040, *b"CS", "TEXT")
}

/// PS3.3 C.11.2.1.2.1, word by word.
fn naive(x: f64, center: f64, width: f64) -> f64 {
    if x <= center - 0.5 - (width - 1.0) / 2.0 {
        0.0
    } else if x > center - 0.5 + (width - 1.0) / 2.0 {
        255.0
    } else {
        ((x - (center - 0.5)) / (width - 1.0) + 0.5) * 255.0
    }
}

#[test]
fn behaviour_15_documents_and_videos_come_as_they_are() {
    let pdf = b"%PDF-1.4 not much of one %%EOF".to_vec();
    let document = |sop, kind: &str| {
        Object::new(EXPLICIT_LE, sop).with(0x0042_0011, *b"OB", Value::Bytes(pdf.clone())).text(
            0x0042_0012,
            *b"LO",
            kind,
        )
    };
    let stream: Vec<Vec<u8>> = vec![b"\0\0\0\x18ftypmp42".to_vec(), vec![7; 1000]];
    let video = Object::new(MPEG4, "1.9.2").image(8, 8, 8, 3);
    let video = video.pixels(*b"OB", Value::Fragments(stream.clone()));
    let (_site, server) =
        start(&[document("1.9.1", "application/pdf"), video, document("1.9.3", "text/html")]);
    for accept in ["*/*", "application/pdf", "application/*", "image/png, application/pdf"] {
        let reply = get(&server, &format!("{}/rendered", instance("1.9.1")), accept);
        assert_eq!(
            (reply.status().as_u16(), header(&reply, "content-type")),
            (200, "application/pdf".into())
        );
        assert_eq!(reply.bytes().unwrap(), pdf);
    }
    let path = format!("{}/rendered", instance("1.9.1"));
    assert_eq!(status(&server, &path, "image/jpeg"), 406);
    let part = &parts_of(get(&server, &path, "multipart/related; type=\"application/pdf\""))[0];
    assert_eq!((part.content_type.as_str(), &part.bytes), ("application/pdf", &pdf));
    // What a browser would run is no document to be shown.
    assert_eq!(status(&server, &format!("{}/rendered", instance("1.9.3")), "*/*"), 406);

    let path = format!("{}/rendered", instance("1.9.2"));
    let reply = get(&server, &format!("{path}?accept=video/mp4"), "*/*");
    assert_eq!(header(&reply, "content-type"), "video/mp4");
    assert_eq!(reply.bytes().unwrap(), stream.concat());
    assert_eq!(status(&server, &path, "image/jpeg"), 406);
    let url = format!("{}{path}", server.studies());
    let reply = client().get(url).header("range", "bytes=4-7").send().unwrap();
    assert_eq!(
        (reply.status().as_u16(), header(&reply, "content-range")),
        (206, "bytes 4-7/1012".into())
    );
    assert_eq!(reply.bytes().unwrap(), &b"ftyp"[..]);
}

#[test]
fn greys_are_those_of_the_formula_in_every_encoding() {
    let coded = greys("1.8.4", &[10]);
    let rle = Object::new(RLE, "1.8.5").image(8, 8, 8, 1);
    let rle = rle.pixels(*b"OB", Value::Fragments(vec![self::rle(&[10; 64])]));
    let negative = ramp(EXPLICIT_LE, "1.8.6").text(0x0028_1052, *b"DS", "-1000").text(
        0x0028_1053,
        *b"DS",
        "0.5",
    );
    let objects = [
        ramp(EXPLICIT_LE, "1.8.1"),
        ramp(IMPLICIT_LE, "1.8.2"),
        ramp(EXPLICIT_BE, "1.8.3"),
        coded,
        rle,
        negative,
    ];
    let (_site, server) = start(&objects);
    for sop in ["1.8.1", "1.8.2", "1.8.3"] {
        let path = format!("{}/rendered?window=2000,1000", instance(sop));
        let reply = get(&server, &path, "image/png");
        assert_eq!(
            (reply.status().as_u16(), header(&reply, "content-type")),
            (200, "image/png".into())
        );
        let (columns, rows, samples) = png(&reply.bytes().unwrap());
        assert_eq!((columns, rows), (64, 64));
        for (x, grey) in samples.iter().enumerate() {
            let wanted = naive(x as f64, 2000.0, 1000.0);
            assert!((f64::from(*grey) - wanted).abs() <= 0.5001, "{sop}: {x}: {grey} for {wanted}");
        }
    }
    let path = format!("{}/rendered?window=0,500", instance("1.8.6"));
    let (.., samples) = png(&get(&server, &path, "image/png").bytes().unwrap());
    for (x, grey) in samples.iter().enumerate() {
        let wanted = naive(x as f64 * 0.5 - 1000.0, 0.0, 500.0);
        assert!((f64::from(*grey) - wanted).abs() <= 0.5001, "{x}: {grey} for {wanted}");
    }
    for sop in ["1.8.4", "1.8.5"] {
        let path = format!("{}/frames/1/rendered", instance(sop));
        assert_eq!(png(&get(&server, &path, "image/png").bytes().unwrap()).2, [10; 64]);
    }
}

#[test]
fn parameters_change_the_picture_and_its_tag() {
    let (_site, server) = start(&[ramp(EXPLICIT_LE, "1.7.1")]);
    let path = format!("{}/rendered", instance("1.7.1"));
    let ask = |query: &str| {
        let reply = get(&server, &format!("{path}{query}"), "*/*");
        assert_eq!(
            (reply.status().as_u16(), header(&reply, "content-type")),
            (200, "image/jpeg".into())
        );
        (header(&reply, "etag"), reply.bytes().unwrap().to_vec())
    };
    let plain = ask("");
    assert_eq!((jpeg_size(&plain.1), ask("")), ((64, 64), plain.clone()));
    let asked = [
        "?window=100,50",
        "?window=100,50,sigmoid",
        "?quality=5",
        "?viewport=32,32",
        "?viewport=64,64,0,0,32,32",
    ];
    let mut all: Vec<_> = asked.iter().map(|query| ask(query)).chain([plain.clone()]).collect();
    assert!(all[2].1.len() < plain.1.len() && jpeg_size(&all[3].1) == (32, 32));
    assert_eq!(jpeg_size(&all[4].1), (64, 64));
    all.sort();
    all.dedup_by(|a, b| a.0 == b.0 || a.1 == b.1);
    assert_eq!(all.len(), asked.len() + 1);

    let url = format!("{}{path}", server.studies());
    let known = client().get(&url).header("if-none-match", &plain.0).send().unwrap();
    assert_eq!((known.status().as_u16(), header(&known, "etag")), (304, plain.0.clone()));
    let other = client().get(format!("{url}?quality=7")).header("if-none-match", &plain.0);
    assert_eq!(other.send().unwrap().status(), 200);
    assert!(server.metric("cairn_read_duration_seconds_count{kind=\"rendered\"}") > 5);
    // The corner of a region by its absolute value (PS3.18 §8.3.5.1.3).
    assert_eq!(ask("?viewport=32,32,-16,-8,16,16").1, ask("?viewport=32,32,16,8,16,16").1);
    for wrong in [
        "annotation=",
        "annotation=patient,",
        "window=1",
        "window=a,b",
        "window=1,0",
        "window=1,2,cubic",
        "viewport=0,1",
        "viewport=9000,1",
        "viewport=1",
        "viewport=5,5,64,0",
        "quality=0",
        "quality=101",
        "quality=x",
    ] {
        assert_eq!(status(&server, &format!("{path}?{wrong}"), "*/*"), 400, "{wrong}");
    }
    // Known and not done: told. Unknown: ignored.
    let reply = get(&server, &format!("{path}?annotation=patient&iccprofile=srgb"), "*/*");
    let warnings: Vec<_> = reply.headers().get_all("warning").iter().collect();
    assert!(reply.status() == 200 && warnings.len() == 2);
    assert!(warnings.iter().all(|text| text.to_str().unwrap().starts_with("299 http://127.0.0.1")));
    let told = ": The following annotation values are not supported: patient";
    assert!(warnings[0].to_str().unwrap().ends_with(told), "{warnings:?}");
    assert_eq!(reply.bytes().unwrap(), plain.1);
    let reply = get(&server, &format!("{path}?iccprofile=no&colour=blue"), "*/*");
    assert!(reply.status() == 200 && header(&reply, "warning").is_empty());
    for (accept, wanted) in
        [("image/gif", 406), ("image/jp2, image/png;q=0.1", 200), ("text/html", 406)]
    {
        assert_eq!(status(&server, &path, accept), wanted, "{accept}");
    }
}

/// An element of the bytes that stand in a sequence, Explicit VR Little Endian.
fn inner(tag: u32, vr: [u8; 2], value: &[u8]) -> Vec<u8> {
    let (group, element) = ((tag >> 16) as u16, tag as u16);
    let mut out = [group.to_le_bytes(), element.to_le_bytes(), vr].concat();
    if vr == *b"SQ" {
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    } else {
        out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    }
    out.extend_from_slice(value);
    out
}

fn item(value: &[u8]) -> Vec<u8> {
    [&[0xFE, 0xFF, 0x00, 0xE0][..], &(value.len() as u32).to_le_bytes(), value].concat()
}

/// An enhanced multi-frame has its windows frame by frame (PS3.3 C.7.6.16.2.10). What is read of its
/// header for the first picture serves for the others.
#[test]
fn each_frame_of_a_multi_frame_has_its_own_window() {
    const FRAME_VOI_LUT: u32 = 0x0028_9132;
    let centers = ["50", "100", "150"];
    let groups: Vec<u8> = centers
        .iter()
        .flat_map(|center| {
            let center = format!("{center:<4}");
            let window = [
                inner(0x0028_1050, *b"DS", center.as_bytes()),
                inner(0x0028_1051, *b"DS", b"100 "),
            ];
            item(&inner(FRAME_VOI_LUT, *b"SQ", &item(&window.concat())))
        })
        .collect();
    let object = greys("9.1", &[100, 100, 100]).with(0x5200_9230, *b"SQ", Value::Bytes(groups));
    let (_site, server) = start(&[object]);
    let hits = "cairn_cache_requests_total{cache=\"headers\",result=\"hit\"}";
    let misses = "cairn_cache_requests_total{cache=\"headers\",result=\"miss\"}";
    for (number, center) in [1, 2, 3, 2].into_iter().zip([50.0, 100.0, 150.0, 100.0]) {
        let path = format!("{}/frames/{number}/rendered", instance("9.1"));
        let picture = get(&server, &path, "image/png");
        assert_eq!(picture.status(), 200);
        let (_, _, samples) = png(&picture.bytes().unwrap());
        let grey = naive(100.0, center, 100.0).round() as u8;
        assert_eq!(samples, [grey; 64], "frame {number}");
    }
    assert_eq!((server.metric(misses), server.metric(hits)), (1, 3));
    assert!(server.metric("cairn_cache_bytes{cache=\"headers\"}") > 0);
}

#[test]
fn frames_come_in_the_order_of_the_list() {
    let (_site, server) = start(&[greys("1.6.1", &[10, 20, 30]), report("1.6.2")]);
    let path = instance("1.6.1");
    let pngs = "multipart/related; type=\"image/png\"";
    let parts = parts_of(get(&server, &format!("{path}/frames/3,1,3/rendered"), pngs));
    let shown: Vec<u8> = parts.iter().map(|part| png(&part.bytes).2[0]).collect();
    assert_eq!(shown, [30, 10, 30]);
    assert!(parts[0].location.as_ref().unwrap().ends_with("/1.6.1/frames/3"));
    assert_eq!(parts[0].content_type, "image/png");
    let jpegs = parts_of(get(&server, &format!("{path}/frames/1,2/rendered"), "*/*"));
    assert!(jpegs.len() == 2 && jpegs[0].content_type == "image/jpeg");
    // PS3.18 §10.4.4: several pictures are no single part.
    assert_eq!(status(&server, &format!("{path}/frames/1,2/rendered"), "image/png"), 406);
    let one = get(&server, &format!("{path}/frames/2/rendered"), "image/png");
    assert!(header(&one, "warning").is_empty());
    assert_eq!(png(&one.bytes().unwrap()).2, [20; 64]);
    let first = get(&server, &format!("{path}/rendered"), "image/png");
    assert!(header(&first, "warning").contains("first of 3 frames"));
    assert_eq!(png(&first.bytes().unwrap()).2, [10; 64]);
    let all = parts_of(get(&server, &format!("{path}/rendered"), pngs));
    assert_eq!(all.iter().map(|part| png(&part.bytes).2[0]).collect::<Vec<_>>(), [10, 20, 30]);
    for (frames, wanted) in [("4", 404), ("1,4", 404), ("0", 400), ("a", 400)] {
        assert_eq!(status(&server, &format!("{path}/frames/{frames}/rendered"), "*/*"), wanted);
    }
    assert_eq!(status(&server, &format!("{}/frames/1/rendered", instance("1.6.2")), "*/*"), 404);
    assert_eq!(status(&server, &format!("{}/rendered", instance("1.6.2")), "*/*"), 406);
    assert_eq!(status(&server, &format!("{}/rendered", instance("1.6.3")), "*/*"), 404);
}

#[test]
fn series_and_studies_come_in_parts() {
    let odd = Object::new(EXPLICIT_LE, "1.5.0")
        .image(8, 8, 8, 1)
        .pixels(*b"OB", Value::Bytes(vec![1; 10]));
    let objects = [odd, greys("1.5.1", &[1]), greys("1.5.2", &[2, 3]), report("1.5.3")];
    let (_site, server) = start(&objects);
    let pngs = "multipart/related; type=image/png";
    let mut tags = Vec::new();
    for path in ["/1.2.3/rendered", &format!("{SERIES}/rendered")] {
        let reply = get(&server, path, pngs);
        // The report and the image without its pixels are left out, and that is told.
        assert_eq!(reply.status(), 206);
        tags.push(header(&reply, "etag"));
        let parts = parts_of(reply);
        assert_eq!(parts.iter().map(|part| png(&part.bytes).2[0]).collect::<Vec<_>>(), [1, 2, 3]);
        // What they were made of (PS3.18 §8.6.1.2).
        let places = ["/1.5.1", "/1.5.2/frames/1", "/1.5.2/frames/2"];
        for (part, place) in parts.iter().zip(places) {
            let location = part.location.clone().unwrap();
            assert!(location.ends_with(place), "{location}");
            assert_eq!(part.length, Some(part.bytes.len() as u64));
            let alone = client().get(format!("{location}/rendered")).header("accept", "image/png");
            let alone = alone.send().unwrap();
            assert_eq!(header(&alone, "content-location"), location);
            assert_eq!(alone.bytes().unwrap(), part.bytes);
        }
        assert_eq!(status(&server, path, "image/png"), 406);
        assert_eq!(status(&server, path, "*/*"), 206);
        let url = format!("{}{path}", server.studies());
        let again =
            client().get(url).header("accept", pngs).header("if-none-match", tags.last().unwrap());
        assert_eq!(again.send().unwrap().status(), 304);
    }
    assert!(tags[0].starts_with("W/") && tags[0] != tags[1]);
    assert_eq!(status(&server, "/1.2.9/rendered", "*/*"), 404);
    let deleted = client().delete(format!("{}/1.2.3", server.studies())).send().unwrap();
    assert_eq!(deleted.status(), 204);
    assert_eq!(status(&server, "/1.2.3/rendered", "*/*"), 410);
    assert_eq!(status(&server, "/1.2.3/thumbnail", "*/*"), 410);
    let (_site, server) = start(&[report("1.5.4")]);
    assert_eq!(status(&server, "/1.2.3/rendered", "*/*"), 406);
    assert_eq!(status(&server, "/1.2.3/thumbnail", "*/*"), 404);
}

#[test]
fn a_picture_that_would_be_too_large_is_413() {
    // A bit a pixel, and more pixels than a picture may have.
    let large = Object::new(EXPLICIT_LE, "1.3.1").image(8200, 8200, 1, 1);
    let large = large.pixels(*b"OB", Value::Bytes(vec![0; 8200 * 8200 / 8]));
    let (_site, server) = start(&[large, greys("1.3.2", &[7])]);
    // PS3.18 table 10.4.3-1.
    let path = format!("{}/rendered", instance("1.3.1"));
    assert_eq!(status(&server, &path, "image/png"), 413);
    assert_eq!(status(&server, &format!("{path}?viewport=64,64"), "image/png"), 200);
    // The others of its series can be shown all the same.
    let reply = get(&server, &format!("{SERIES}/rendered"), "multipart/related; type=image/png");
    assert_eq!(reply.status(), 206);
    assert_eq!(parts_of(reply).len(), 1);
}

#[test]
fn a_thumbnail_is_the_middle_one() {
    let numbered =
        |sop: &str, grey, number: &str| greys(sop, &[grey]).text(INSTANCE_NUMBER, *b"IS", number);
    let large = Object::new(EXPLICIT_LE, "1.4.6").image(600, 300, 8, 1);
    let objects = [
        numbered("1.4.1", 10, "9"),
        numbered("1.4.2", 20, "2"),
        numbered("1.4.3", 30, "5"),
        // The middle, were no name burned into it.
        numbered("1.4.4", 40, "4").text(BURNED_IN, *b"CS", "YES"),
        report("1.4.5"),
        large.pixels(*b"OB", Value::Bytes(vec![50; 180_000])),
    ];
    let (_site, server) = start(&objects);
    let grey = |path: &str| png(&get(&server, path, "image/png").bytes().unwrap()).2[0];
    // By number: 1.4.6 (none), 2, 5, 9.
    for path in ["/1.2.3/thumbnail", &format!("{SERIES}/thumbnail")] {
        assert_eq!(grey(path), 30);
        assert_eq!(status(&server, path, "multipart/related; type=\"image/jpeg\""), 406);
    }
    let small = get(&server, &format!("{}/thumbnail", instance("1.4.6")), "*/*");
    assert_eq!(header(&small, "content-type"), "image/jpeg");
    assert_eq!(jpeg_size(&small.bytes().unwrap()), (128, 256));
    let asked = get(&server, &format!("{}/thumbnail?viewport=30,30", instance("1.4.6")), "*/*");
    assert_eq!(jpeg_size(&asked.bytes().unwrap()), (15, 30));
    // As large as possible within a viewport that is asked for.
    let asked = get(&server, &format!("{}/thumbnail?viewport=900,900", instance("1.4.6")), "*/*");
    assert!(header(&asked, "content-location").ends_with("/instances/1.4.6"));
    assert_eq!(jpeg_size(&asked.bytes().unwrap()), (450, 900));
    assert_eq!(grey(&format!("{}/frames/1/thumbnail", instance("1.4.1"))), 10);
    for (path, wanted) in [
        (format!("{}/thumbnail", instance("1.4.5")), 404),
        (format!("{}/thumbnail", instance("1.4.4")), 404),
        (format!("{}/thumbnail", instance("1.4.7")), 404),
        (format!("{}/frames/2/thumbnail", instance("1.4.1")), 404),
        (format!("{}/frames/1,1/thumbnail", instance("1.4.1")), 400),
        (format!("{}/thumbnail?viewport=x", instance("1.4.1")), 400),
        (format!("{}/thumbnail?viewport=30,30,0,0,8,8", instance("1.4.1")), 400),
        (format!("{}/thumbnail?viewport=30,30,", instance("1.4.1")), 400),
    ] {
        assert_eq!(status(&server, &path, "*/*"), wanted, "{path}");
    }
    let url = format!("{}/1.2.3/thumbnail", server.studies());
    let tag = header(&client().get(&url).send().unwrap(), "etag");
    let again = client().get(&url).header("if-none-match", tag).send().unwrap();
    assert_eq!(again.status(), 304);
}

#[test]
fn wado_uri_gives_pictures_and_files() {
    let objects = [ramp(IMPLICIT_LE, "1.1.1"), greys("1.1.2", &[10, 20]), report("1.1.3")];
    let (_site, server) = start(&objects);
    let ask = |query: &str| client().get(server.url(&format!("/wado?{query}"))).send().unwrap();
    let of = |sop: &str, more: &str| {
        ask(&format!("requestType=WADO&studyUID=1.2.3&seriesUID=1.2.3.4&objectUID={sop}{more}"))
    };
    let kind =
        |reply: &Response| header(reply, "content-type").split(';').next().unwrap().to_owned();
    let reply = of("1.1.1", "&unknown=1&rows=&columns=");
    assert_eq!((reply.status().as_u16(), kind(&reply)), (200, "image/jpeg".into()));
    let tag = header(&reply, "etag");
    assert!(header(&reply, "content-location").ends_with("/series/1.2.3.4/instances/1.1.1"));
    assert_eq!(jpeg_size(&reply.bytes().unwrap()), (64, 64));
    let url = server.url("/wado?requestType=WADO&studyUID=1.2.3&seriesUID=1.2.3.4&objectUID=1.1.1");
    assert_eq!(client().get(url).header("if-none-match", tag).send().unwrap().status(), 304);

    let shown = of("1.1.1", "&contentType=image/png&windowCenter=2000&windowWidth=1000");
    for (x, grey) in png(&shown.bytes().unwrap()).2.iter().enumerate() {
        assert!((f64::from(*grey) - naive(x as f64, 2000.0, 1000.0)).abs() <= 0.5001);
    }
    for (query, size) in [
        ("&rows=32", (32, 32)),
        ("&columns=16&rows=64", (16, 16)),
        ("&region=0.5,0.5,1,0.75", (32, 16)),
        ("&region=0,0,0.5,0.25&columns=64", (64, 32)),
    ] {
        let reply = of("1.1.1", &format!("&contentType=image%2Fjpeg&imageQuality=80{query}"));
        assert_eq!(jpeg_size(&reply.bytes().unwrap()), size, "{query}");
    }
    let whole = of("1.1.2", "&frameNumber=2&contentType=image/png");
    assert_eq!(png(&whole.bytes().unwrap()).2, [20; 64]);
    let first = of("1.1.2", "&contentType=image/png");
    assert!(header(&first, "warning").contains("first of 2 frames"));
    assert!(header(&of("1.1.1", "&annotation=patient"), "warning").contains("299"));

    // Of several frames and of reports, the file.
    for (sop, more) in [("1.1.2", ""), ("1.1.3", ""), ("1.1.1", "&contentType=application/dicom")] {
        let reply = of(sop, more);
        assert_eq!(
            header(&reply, "content-type"),
            "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"
        );
        assert!(header(&reply, "content-location").ends_with(&format!("/instances/{sop}")));
        let bytes = reply.bytes().unwrap();
        assert_eq!(&bytes[128..132], b"DICM");
    }
    let syntax =
        |uid: &str| of("1.1.1", &format!("&contentType=application/dicom&transferSyntax={uid}"));
    assert_eq!(syntax("1.2.840.10008.1.2.1").status(), 200);
    assert_eq!(syntax("1.2.840.10008.1.2.4.90").status(), 406);
    assert_eq!(syntax("x;q=1").status(), 400);
}

#[test]
fn wado_uri_refuses_what_makes_no_sense() {
    let (_site, server) =
        start_with(&[dicom("1.2.3", "1.2.3.4", "1.1.1", "A^B", &[1; 64]), report("1.1.2").file()]);
    let code = |query: &str| {
        client().get(server.url(&format!("/wado?{query}"))).send().unwrap().status().as_u16()
    };
    let base = "requestType=WADO&studyUID=1.2.3&seriesUID=1.2.3.4&objectUID=1.1.1";
    assert_eq!(code(base), 200);
    for (query, wanted) in [
        ("", 400),
        ("requestType=WADO&studyUID=1.2.3&seriesUID=1.2.3.4", 400),
        ("requestType=STOW&studyUID=1.2.3&seriesUID=1.2.3.4&objectUID=1.1.1", 400),
        ("studyUID=1.2.3&seriesUID=1.2.3.4&objectUID=1.1.1", 400),
        ("requestType=WADO&studyUID=1.2.9&seriesUID=1.2.3.4&objectUID=1.1.1", 404),
        (
            "requestType=WADO&studyUID=1.2.3&seriesUID=1.2.3.4&objectUID=1.1.2&contentType=image/jpeg",
            406,
        ),
    ] {
        assert_eq!(code(query), wanted, "{query}");
    }
    for (more, wanted) in [
        ("anonymize=yes", 406),
        ("contentType=image/gif", 406),
        ("frameNumber=2", 400),
        ("frameNumber=0", 400),
        ("windowCenter=1", 400),
        ("contentType=application/dicom&windowCenter=1&windowWidth=2", 400),
        ("contentType=application/dicom&windowWidth=2", 400),
        ("presentationUID=1.2&presentationSeriesUID=1.3&windowCenter=1&windowWidth=2", 400),
        ("presentationUID=1.2&presentationSeriesUID=1.3", 200),
        ("imageAnnotation=x%0Ay", 400),
        ("windowCenter=1&windowWidth=x", 400),
        ("imageQuality=101", 400),
        ("rows=0", 400),
        ("columns=9000", 400),
        ("region=0,0,2,1", 400),
    ] {
        assert_eq!(code(&format!("{base}&{more}")), wanted, "{more}");
    }
    let url = format!("{}{}", server.studies(), instance("1.1.1"));
    assert_eq!(client().delete(url).send().unwrap().status(), 204);
    assert_eq!(code(base), 410);
    assert!(!server.log().contains("A^B"));
}
