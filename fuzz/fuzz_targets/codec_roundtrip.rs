//! Holds of any bytes, whatever they are said to be: coded, they are never longer, and decoded they
//! are the same bytes. Lying geometry costs compression, never a byte.
#![no_main]

use cairn_chunker::codec::{Codec, Content, decode, encode, encode_filtered};
use cairn_fuzz::input::{ROUNDTRIP_BYTES, coding};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((control, plain)) = data.split_first_chunk::<ROUNDTRIP_BYTES>() else { return };
    let (content, effort) = coding(*control);
    let coded = encode(plain, content, effort);
    let payload = coded.payload(plain);
    assert!(payload.len() <= plain.len(), "coding makes it longer");
    let back = decode(coded.codec, payload, plain.len());
    assert_eq!(back.as_deref(), Ok(plain), "{:?}", coded.codec);
    assert_eq!(encode(plain, content, effort), coded, "scratch shows through");

    // Also by filters that the encoder would not have chosen.
    let Content::Pixels(geometry) = content else { return };
    for codec in [
        Codec::PixelMed,
        Codec::PixelClassed,
        Codec::PixelContext,
        Codec::PixelPacked,
        Codec::PixelAdaptive,
    ] {
        let Some(coded) = encode_filtered(codec, plain, geometry) else { continue };
        assert_eq!(decode(codec, &coded.bytes, plain.len()).as_deref(), Ok(plain), "{codec:?}");
    }
});
