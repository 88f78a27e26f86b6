#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::pixels::{ImageLayout, Numbers};

fn layout(rows: u32, columns: u32, samples: u32, bits: u32) -> ImageLayout {
    let photometric = if samples == 3 { Photometric::Rgb } else { Photometric::Monochrome2 };
    ImageLayout {
        rows,
        columns,
        samples,
        bits_allocated: bits,
        bits_stored: bits,
        high_bit: bits - 1,
        signed: false,
        photometric,
        planar: false,
        numbers: Numbers::Whole,
        frames: 1,
        in_words: false,
    }
}

fn decoded(layout: ImageLayout, bytes: &[u8]) -> Decoded {
    Decoded { bytes: Bytes::copy_from_slice(bytes), layout }
}

fn png_of(decoded: &Decoded, look: &Look, parameters: &Parameters) -> Vec<u8> {
    let parameters = Parameters { format: Format::Png, ..*parameters };
    let file = frame(decoded, look, &parameters).unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(&file[..])).read_info().unwrap();
    let mut out = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut out).unwrap();
    out.truncate(info.buffer_size());
    out
}

fn look(instance: &Value, index: u64) -> Look {
    Look::of(instance, frame_item(instance, index), &mut |_| None)
}

/// The frame's item in the Per-Frame Functional Groups Sequence.
fn frame_item(instance: &Value, index: u64) -> Option<&Value> {
    instance.get("52009230")?.get("Value")?.get(index as usize)
}

fn words(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn window(center: f64, width: f64) -> Parameters {
    let window = Window::new(center, width, Shape::Linear);
    Parameters { window, ..Parameters::default() }
}

/// The pseudo-code of PS3.3 C.11.2.1.2.1, to the letter.
fn linear(x: f64, c: f64, w: f64) -> f64 {
    if x <= c - 0.5 - (w - 1.0) / 2.0 {
        0.0
    } else if x > c - 0.5 + (w - 1.0) / 2.0 {
        255.0
    } else {
        ((x - (c - 0.5)) / (w - 1.0) + 0.5) * 255.0
    }
}

#[test]
fn windows_of_the_standard() {
    // The examples of the notes in C.11.2.1.2.1.
    let grey = |c, w, x| byte_of(Window::new(c, w, Shape::Linear).unwrap(), x);
    assert_eq!([0.0, 1.0, 4095.0].map(|x| grey(2048.0, 4096.0, x)), [0, 0, 255]);
    assert_eq!([0.0, 1.0].map(|x| grey(1.0, 1.0, x)), [0, 255]);
    assert_eq!([-1.0, 0.0, 99.0, 100.0].map(|x| grey(50.0, 100.0, x)), [0, 0, 255, 255]);
    let exact = Window::new(0.0, 100.0, Shape::LinearExact).unwrap();
    assert_eq!([-50.0, 0.0, 50.0].map(|x| byte_of(exact, x)), [0, 128, 255]);
    let sigmoid = Window::new(0.0, 100.0, Shape::Sigmoid).unwrap();
    assert_eq!([-1e9, -25.0, 0.0, 1e9].map(|x| byte_of(sigmoid, x)), [0, 69, 128, 255]);
    assert_eq!(Window::new(0.0, 0.5, Shape::Linear), None);
    assert_eq!(Window::new(0.0, 0.0, Shape::Sigmoid), None);
    assert_eq!(Window::new(f64::NAN, 1.0, Shape::Linear), None);
}

fn byte_of(window: Window, x: f64) -> u8 {
    window::byte(window.grey(x))
}

#[test]
fn parameters_from_a_query() {
    let mut parameters = Parameters::default();
    assert_eq!(parameters.set("window", "40,400,linear-exact"), Ok(true));
    assert_eq!(parameters.window, Window::new(40.0, 400.0, Shape::LinearExact));
    assert_eq!(parameters.set("quality", "7"), Ok(true));
    assert_eq!(parameters.set("viewport", "100,50,,,-10,20"), Ok(true));
    assert_eq!(parameters.set("iccprofile", "no"), Ok(false));
    for (name, value) in [
        ("window", "1"),
        ("window", "1,0"),
        ("window", "1,2,round"),
        ("window", "1,2,linear,4"),
        ("window", "NaN,2"),
        ("quality", "0"),
        ("quality", "101"),
        ("viewport", "0,5"),
        ("viewport", "5"),
        ("viewport", "9000,5"),
        ("viewport", "5,5,0,0,1,1,1"),
        ("viewport", "5,5,inf"),
    ] {
        assert!(parameters.set(name, value).is_err(), "{name}={value}");
    }
    assert_eq!(Format::of("IMAGE/PNG"), Some(Format::Png));
}

#[test]
fn a_header_window_a_table_and_neither() {
    let pixels = decoded(layout(1, 4, 1, 16), &words(&[0, 1000, 2000, 4000]));
    let rescaled = json!({
        "00281052": {"vr": "DS", "Value": ["-1000"]}, "00281053": {"vr": "DS", "Value": [1]},
        "00281050": {"vr": "DS", "Value": [0, 500]}, "00281051": {"vr": "DS", "Value": [2001.0, 1]},
    });
    let plain = Parameters::default();
    assert_eq!(png_of(&pixels, &look(&rescaled, 0), &plain), [0, 128, 255, 255]);
    assert_eq!(png_of(&pixels, &look(&rescaled, 0), &window(-999.0, 1.0)), [0, 255, 255, 255]);
    // None: from the lowest to the highest, padding left out.
    let padded = json!({"00280120": {"vr": "US", "Value": [4000]}});
    assert_eq!(png_of(&pixels, &look(&padded, 0), &plain), [0, 128, 255, 255]);
    assert_eq!(png_of(&pixels, &look(&json!({}), 0), &plain), [0, 64, 128, 255]);
    // A table, by number and by bulk data.
    let table = |data: Value| {
        json!({"00283010": {"vr": "SQ", "Value": [{
            "00283002": {"vr": "US", "Value": [3, 1000, 8]}, "00283006": data,
        }]}})
    };
    let inline = table(json!({"vr": "US", "Value": [10, 20, 30]}));
    assert_eq!(png_of(&pixels, &look(&inline, 0), &plain), [10, 10, 30, 30]);
    let binary = table(json!({"vr": "OW", "InlineBinary": "CgAUAB4A"}));
    assert_eq!(png_of(&pixels, &look(&binary, 0), &plain), [10, 10, 30, 30]);
    let elsewhere = table(json!({"vr": "OW", "BulkDataURI": "b/1"}));
    let mut fetch = |uri: &str| (uri == "b/1").then(|| Bytes::from_static(&[1, 0, 2, 0, 3, 0]));
    assert_eq!(png_of(&pixels, &Look::of(&elsewhere, None, &mut fetch), &plain), [1, 1, 3, 3]);
    let missing = png_of(&pixels, &look(&elsewhere, 0), &plain);
    assert_eq!(missing, [0, 64, 128, 255]);
}

#[test]
fn functional_groups_go_first() {
    let group = |center: i32| {
        json!({"00289132": {"vr": "SQ", "Value": [{
            "00281050": {"vr": "DS", "Value": [center]}, "00281051": {"vr": "DS", "Value": [1]},
        }]}})
    };
    let instance = json!({
        "00281050": {"vr": "DS", "Value": [1]}, "00281051": {"vr": "DS", "Value": [1]},
        "52009229": {"vr": "SQ", "Value": [group(2)]},
        "52009230": {"vr": "SQ", "Value": [group(3), {}]},
    });
    let pixels = decoded(layout(1, 4, 1, 8), &[0, 1, 2, 3]);
    let of = |index| png_of(&pixels, &look(&instance, index), &Parameters::default());
    assert_eq!(of(0), [0, 0, 0, 255]);
    assert_eq!(of(1), [0, 0, 255, 255]);
    assert_eq!(of(u64::MAX), [0, 0, 255, 255]);
}

#[test]
fn kinds_of_grey() {
    let show = |layout, bytes: &[u8]| {
        png_of(&decoded(layout, bytes), &Look::default(), &Parameters::default())
    };
    assert_eq!(show(layout(1, 3, 1, 8), &[0, 7, 255]), [0, 7, 255]);
    let inverted = ImageLayout { photometric: Photometric::Monochrome1, ..layout(1, 3, 1, 8) };
    assert_eq!(show(inverted, &[0, 7, 255]), [255, 248, 0]);
    assert_eq!(show(layout(1, 9, 1, 1), &[0b1010_0001, 1]), [255, 0, 0, 0, 0, 255, 0, 255, 255]);
    // Overlay bits above and below the stored ones do not count.
    let inner = ImageLayout { bits_stored: 8, high_bit: 11, ..layout(1, 2, 1, 16) };
    assert_eq!(show(inner, &words(&[0xF12F, 0x0FF0])), [0x12, 255]);
    let signed = ImageLayout { signed: true, bits_stored: 12, high_bit: 11, ..layout(1, 3, 1, 16) };
    assert_eq!(show(signed, &words(&[0x0800, 0, 0x07FF])), [0, 128, 255]);
    let long = ImageLayout { signed: true, ..layout(1, 3, 1, 32) };
    let bytes: Vec<u8> =
        [-2_000_000_000i32, 0, 2_000_000_000].iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_eq!(show(long, &bytes), [0, 128, 255]);
    let float = ImageLayout { numbers: Numbers::Float, ..layout(1, 4, 1, 32) };
    let bytes: Vec<u8> = [-1f32, 0.0, f32::NAN, 1.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_eq!(show(float, &bytes), [0, 128, 0, 255]);
    let double = ImageLayout { numbers: Numbers::Double, ..layout(1, 2, 1, 64) };
    let bytes: Vec<u8> = [1e300f64, -1e300].iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_eq!(show(double, &bytes), [255, 0]);
}

#[test]
fn kinds_of_colour() {
    let show = |layout, bytes: &[u8]| {
        png_of(&decoded(layout, bytes), &Look::default(), &Parameters::default())
    };
    let pixels = [1, 2, 3, 4, 5, 6];
    assert_eq!(show(layout(1, 2, 3, 8), &pixels), pixels);
    let planar = ImageLayout { planar: true, ..layout(1, 2, 3, 8) };
    assert_eq!(show(planar, &[1, 4, 2, 5, 3, 6]), pixels);
    assert_eq!(show(layout(1, 1, 3, 16), &words(&[0x1200, 0x3400, 0xFFFF])), [0x12, 0x34, 0xFF]);
    let named = |photometric, columns| ImageLayout { photometric, ..layout(1, columns, 3, 8) };
    // Red of PS3.3 C.7.6.3.1.2: Y 76, Cb 85, Cr 255.
    assert_eq!(show(named(Photometric::YbrFull, 1), &[76, 85, 255]), [254, 0, 0]);
    assert_eq!(show(named(Photometric::YbrFull422, 2), &[76, 0, 85, 255]), [254, 0, 0, 178, 0, 0]);
    assert_eq!(
        show(named(Photometric::YbrPartial422, 2), &[235, 16, 128, 128]),
        [255, 255, 255, 0, 0, 0]
    );
    let palette = ImageLayout { photometric: Photometric::PaletteColor, ..layout(1, 3, 1, 8) };
    let descriptor = json!({"vr": "US", "Value": [2, 0, 16]});
    let instance = json!({
        "00281101": descriptor, "00281102": descriptor, "00281103": descriptor,
        "00281201": {"vr": "OW", "Value": [0, 0xFF00]},
        "00281202": {"vr": "OW", "Value": [0x1000, 0x2000]},
        "00281223": {"vr": "OW", "Value": [0, 1, 0x3000, 1, 1, 0x5000]},
    });
    let pixels = decoded(palette, &[0, 1, 9]);
    assert!(matches!(
        frame(&pixels, &Look::default(), &Parameters::default()),
        Err(RenderError::Table(_))
    ));
    let shown = png_of(&pixels, &look(&instance, 0), &Parameters::default());
    assert_eq!(shown, [0, 0x10, 0x30, 0xFF, 0x20, 0x50, 0xFF, 0x20, 0x50]);
}

#[test]
fn viewports() {
    let pixels: Vec<u8> = (0..16).map(|i| i * 16).collect();
    let pixels = decoded(layout(4, 4, 1, 8), &pixels);
    let show = |viewport: &str| {
        let viewport = Some(Viewport::parse(viewport).unwrap());
        png_of(&pixels, &Look::default(), &Parameters { viewport, ..Parameters::default() })
    };
    assert_eq!(show("4,4"), &*pixels.bytes);
    assert_eq!(show("2,9"), [40, 72, 168, 200]);
    assert_eq!(show("2,2,1,1,2,2"), [80, 96, 144, 160]);
    assert_eq!(show("2,2,1,1,-2,2"), [96, 80, 160, 144]);
    assert_eq!(show("2,2,1,1,2,-2"), [144, 160, 80, 96]);
    assert_eq!(show("3,1,1,0,3,1"), [16, 32, 48]);
    // Larger: between neighbours, and no further than the region.
    assert_eq!(show("4,2,0,0,2,1"), [0, 4, 12, 16, 0, 4, 12, 16]);
    let outside = Some(Viewport::parse("2,2,4,0").unwrap());
    let parameters = Parameters { viewport: outside, ..Parameters::default() };
    assert!(matches!(frame(&pixels, &Look::default(), &parameters), Err(RenderError::Region)));
    // A thumbnail does not grow.
    assert_eq!(png_of(&pixels, &Look::default(), &Parameters::thumbnail(100)), &*pixels.bytes);
    assert_eq!(png_of(&pixels, &Look::default(), &Parameters::thumbnail(1)), [120]);
}

#[test]
fn a_jpeg_and_what_is_too_large() {
    let pixels = decoded(layout(16, 16, 1, 8), &[77; 256]);
    let file = frame(&pixels, &Look::default(), &Parameters::default()).unwrap();
    assert!(file.starts_with(&[0xFF, 0xD8, 0xFF]));
    let huge = layout(20000, 20000, 1, 8);
    let huge = Decoded { bytes: Bytes::from(vec![0; huge.frame_bytes()]), layout: huge };
    let error = frame(&huge, &Look::default(), &Parameters::default()).unwrap_err();
    assert!(matches!(error, RenderError::TooLarge { .. }));
    let short = decoded(layout(16, 16, 1, 8), &[77; 255]);
    assert!(matches!(
        frame(&short, &Look::default(), &Parameters::default()),
        Err(RenderError::Short)
    ));
}

fn hostile_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[-0-9.eE ]{0,9}".prop_map(Value::from),
        "[A-Za-z0-9+/=]{0,20}".prop_map(Value::from),
    ];
    let tag = prop::sample::select(vec![
        "00283000",
        "00283002",
        "00283006",
        "00283010",
        "00281052",
        "00281053",
        "00281050",
        "00281051",
        "00281056",
        "00280120",
        "00280121",
        "20500020",
        "52009229",
        "52009230",
        "00289145",
        "00289132",
        "00281101",
        "00281102",
        "00281103",
        "00281201",
        "00281202",
        "00281203",
        "00281221",
        "00281222",
        "00281223",
        "Value",
        "InlineBinary",
        "BulkDataURI",
    ]);
    leaf.prop_recursive(5, 60, 8, move |inner| {
        let element = prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|values| json!({"Value": values})),
            inner.clone().prop_map(|value| json!({"InlineBinary": value})),
            inner.clone(),
        ];
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            prop::collection::hash_map(tag.clone().prop_map(String::from), element, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn greys_as_the_naive_way(
        stored in prop::collection::vec(any::<u16>(), 1..50),
        (slope, intercept) in (-3.0..3.0f64, -2000.0..2000.0f64),
        (center, width) in (-2000.0..4000.0f64, 1.0..5000.0f64),
        (bits, signed, inverted) in (1u32..=16, any::<bool>(), any::<bool>()),
        tabled in any::<bool>(),
    ) {
        prop_assume!(slope != 0.0);
        // Enough pixels for a table, or too few.
        let stored = if tabled && bits <= 10 { stored.repeat(1024) } else { stored };
        let instance = json!({
            "00281052": {"vr": "DS", "Value": [intercept]}, "00281053": {"vr": "DS", "Value": [slope]},
        });
        let photometric = if inverted { Photometric::Monochrome1 } else { Photometric::Monochrome2 };
        let layout = ImageLayout { bits_stored: bits, high_bit: bits - 1, signed, photometric, ..layout(1, stored.len() as u32, 1, 16) };
        let shown = png_of(&decoded(layout, &words(&stored)), &look(&instance, 0), &window(center, width));
        for (shown, stored) in shown.iter().zip(&stored) {
            let mut value = i64::from(*stored) % (1 << bits);
            if signed && value >= 1 << (bits - 1) {
                value -= 1 << bits;
            }
            let grey = linear(value as f64 * slope + intercept, center, width);
            let grey = if inverted { 255.0 - grey } else { grey };
            prop_assert!((f64::from(*shown) - grey).abs() <= 0.5001, "{} {}", shown, grey);
        }
    }

    #[test]
    fn hostile_headers(instance in hostile_json(), index in 0u64..3, bytes in prop::collection::vec(any::<u8>(), 64), palette in any::<bool>(), fetched in prop::collection::vec(any::<u8>(), 0..20)) {
        let look = Look::of(&instance, frame_item(&instance, index), &mut |_| Some(Bytes::from(fetched.clone())));
        let photometric = if palette { Photometric::PaletteColor } else { Photometric::Monochrome2 };
        let pixels = decoded(ImageLayout { photometric, ..layout(4, 8, 1, 16) }, &bytes);
        if let Ok(file) = frame(&pixels, &look, &Parameters::default()) {
            prop_assert!(!file.is_empty());
        }
    }

    #[test]
    fn hostile_viewports(text in "[-0-9.,e]{0,24}", columns in 1u32..30, rows in 1u32..30) {
        if let Ok(viewport) = Viewport::parse(&text) {
            prop_assume!(viewport.plan((f64::from(columns), f64::from(rows)), true).is_none_or(|plan| plan.columns * plan.rows < 1 << 20));
            let pixels = decoded(layout(rows, columns, 1, 8), &vec![9; (rows * columns) as usize]);
            let parameters = Parameters { viewport: Some(viewport), ..Parameters::default() };
            let _picture_or_error = frame(&pixels, &Look::default(), &parameters);
        }
    }
}
