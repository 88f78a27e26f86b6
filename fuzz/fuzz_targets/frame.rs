//! Holds of any header and any bytes of a frame: what is decoded is as long as its layout says, nothing
//! panics outside the guard around decoders of others, and no more memory is taken than the limits allow.
#![no_main]

use bytes::Bytes;
use cairn_dicom::pixels::{self, ImageLayout};
use cairn_fuzz::frames::{self, CONTROL_BYTES};
use libfuzzer_sys::fuzz_target;


fuzz_target!(
    init: {
        // Decoders of others may panic: that is caught, and is no finding.
        std::panic::set_hook(Box::new(|_| {}));
    },
    |data: &[u8]| {
        let Some((control, frame)) = data.split_first_chunk::<CONTROL_BYTES>() else { return };
        let (syntax, attributes) = frames::read(control);
        let Ok(layout) = ImageLayout::of(&attributes) else { return };
        let frame = Bytes::copy_from_slice(frame);
        if let Ok(decoded) = pixels::decode(syntax, &layout, &frame) {
            assert_eq!(decoded.bytes.len(), decoded.layout.frame_bytes());
        }
    }
);
