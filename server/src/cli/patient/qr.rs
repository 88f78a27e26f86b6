//! Cards as QR codes (ISO/IEC 18004): on the terminal, and as a drawing to print.

use std::path::Path;

use cairn_store::disk::{Disk, OsDisk};
use qrcode::render::{svg, unicode};
use qrcode::{EcLevel, QrCode};

use crate::error::{Error, Result};
use crate::sharing::Fault;

/// Side of a drawing, in pixels at the least.
const SIDE: u32 = 480;

fn code(text: &str) -> Result<QrCode> {
    // Paper gets creased: a quarter of it may be unreadable (level Q).
    let made = QrCode::with_error_correction_level(text.as_bytes(), EcLevel::Q);
    Ok(made.map_err(|_| Fault::Patient("it is too long for a QR code".into()))?)
}

/// For a terminal, two dots high a line.
pub(super) fn terminal(text: &str) -> Result<String> {
    let drawn = code(text)?.render::<unicode::Dense1x2>().build();
    Ok(drawn + "\n")
}

/// Writes a drawing (SVG); never over a file that is there.
pub(super) fn draw(text: &str, file: &Path, is_secret: bool) -> Result<()> {
    let drawn = code(text)?.render::<svg::Color<'_>>().min_dimensions(SIDE, SIDE).build();
    if is_secret {
        return Ok(cairn_store::keys::write_private(file, &drawn)?);
    }
    if file.exists() {
        let there = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        return Err(Error::io("write", file)(there));
    }
    let file = std::path::absolute(file).map_err(Error::io("find", file))?;
    OsDisk.write_file(&file, drawn.as_bytes()).map_err(Error::io("write", &file))
}
