//! Holds of any codec id, plain length up to 1 MiB and bytes: decoding fails or gives exactly that
//! many bytes, never panics, and holds no more than it gives. `run.sh` bounds each single allocation
//! as well, where the sanitizer can see them.
#![no_main]

use cairn_chunker::codec::{Codec, decode};
use cairn_fuzz::input::{DECODE_BYTES, decoding};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((control, coded)) = data.split_first_chunk::<DECODE_BYTES>() else { return };
    let (id, plain_bytes) = decoding(*control);
    let Ok(codec) = Codec::from_id(id) else { return };
    assert_eq!(codec.id(), id);
    let Ok(plain) = decode(codec, coded, plain_bytes) else { return };
    assert_eq!(plain.len(), plain_bytes);
    assert!(plain.capacity() <= plain_bytes + 64, "{} held", plain.capacity());
    assert_eq!(decode(codec, coded, plain_bytes).as_ref(), Ok(&plain), "scratch shows through");
    assert!(decode(codec, coded, plain_bytes + 1).is_err(), "two lengths for the same bytes");
});
