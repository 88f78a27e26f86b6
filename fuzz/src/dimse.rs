//! What a peer says over one association, made from a fuzzer's bytes.
//!
//! Bytes alone hardly ever become an association. So an input is either sent as it is, or is a list of
//! steps after a good request: each a kind, a length of two bytes, and so many bytes.

/// Abstract syntaxes by context: 1, 3, 5, ….
const CONTEXTS: [&str; 6] = [
    "1.2.840.10008.1.1",
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.2.2.1",
    "1.2.840.10008.5.1.4.1.2.2.3",
    "1.2.840.10008.5.1.4.1.2.2.2",
    "1.2.840.10008.1.20.1",
];
const SYNTAXES: [&str; 2] = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"];

/// Commands by context: echo, store, find, get, move, action.
const COMMANDS: [u16; 6] = [0x30, 0x01, 0x20, 0x10, 0x21, 0x130];

/// The bytes that a peer sends.
#[must_use]
pub fn conversation(input: &[u8]) -> Vec<u8> {
    let Some((first, mut rest)) = input.split_first() else { return Vec::new() };
    if first % 4 == 0 {
        return rest.to_vec();
    }
    let mut out = request(first % 4 == 1);
    while let Some((head, tail)) = rest.split_first_chunk::<3>() {
        let [kind, low, high] = *head;
        let length = usize::from(u16::from_le_bytes([low, high])).min(tail.len());
        let (bytes, tail) = tail.split_at(length);
        step(&mut out, kind, bytes);
        rest = tail;
    }
    out
}

fn step(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    let place = usize::from(kind >> 4) % CONTEXTS.len();
    let context = 2 * place as u8 + 1;
    match kind & 15 {
        0 => out.extend_from_slice(bytes),
        // A fragment: of a command or of a data set, the last one or not.
        control @ 1..=4 => value(out, context, control - 1, bytes),
        5 => pdu(out, 5, &[0; 4]),
        6 => pdu(out, 7, &[0; 4]),
        // A good command, and a data set with it.
        7..=11 => {
            value(out, context, 3, &command(COMMANDS[place], CONTEXTS[place], true));
            value(out, context, 2, bytes);
        }
        12 => value(out, context, 3, &command(COMMANDS[place], CONTEXTS[place], false)),
        // A command whose first bytes are the fuzzer's.
        13 => {
            let mut command = command(COMMANDS[place], CONTEXTS[place], true);
            let count = bytes.len().min(command.len());
            command[..count].copy_from_slice(&bytes[..count]);
            value(out, context, 3, &command);
        }
        14 => value(out, context, 3, &command(0x0FFF, CONTEXTS[place], false)),
        _ => value(out, context, 3, &command(0x8001, CONTEXTS[place], false)),
    }
}

fn pdu(out: &mut Vec<u8>, kind: u8, body: &[u8]) {
    out.extend_from_slice(&[kind, 0]);
    out.extend_from_slice(&(body.len() as u32).to_be_bytes());
    out.extend_from_slice(body);
}

fn value(out: &mut Vec<u8>, context: u8, control: u8, bytes: &[u8]) {
    let mut body = (bytes.len() as u32 + 2).to_be_bytes().to_vec();
    body.extend_from_slice(&[context, control]);
    body.extend_from_slice(bytes);
    pdu(out, 4, &body);
}

fn element(out: &mut Vec<u8>, number: u16, value: &[u8]) {
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    out.extend_from_slice(value);
}

fn command(kind: u16, class: &str, data_set: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut class = class.as_bytes().to_vec();
    class.resize(class.len().next_multiple_of(2), 0);
    element(&mut out, 0x0002, &class);
    element(&mut out, 0x0100, &kind.to_le_bytes());
    element(&mut out, 0x0110, &[1, 0]);
    element(&mut out, 0x0600, b"NOBODY");
    element(&mut out, 0x0700, &[0, 0]);
    element(&mut out, 0x0800, if data_set { &[0, 0] } else { &[1, 1] });
    element(&mut out, 0x1000, b"1.2.3.4\0");
    element(&mut out, 0x1008, &[1, 0]);
    out
}

/// A request that is accepted, with the roles for C-GET and a window.
fn request(implicit: bool) -> Vec<u8> {
    let item = |kind: u8, body: &[u8]| {
        let mut out = vec![kind, 0];
        out.extend_from_slice(&(body.len() as u16).to_be_bytes());
        out.extend_from_slice(body);
        out
    };
    let mut body = vec![0, 1, 0, 0];
    body.extend_from_slice(b"CAIRN           FUZZ            ");
    body.extend_from_slice(&[0; 32]);
    body.extend(item(0x10, b"1.2.840.10008.3.1.1.1"));
    for (place, class) in CONTEXTS.iter().enumerate() {
        let mut context = vec![2 * place as u8 + 1, 0, 0, 0];
        context.extend(item(0x30, class.as_bytes()));
        context.extend(item(0x40, SYNTAXES[usize::from(implicit)].as_bytes()));
        body.extend(item(0x20, &context));
    }
    let mut user = item(0x51, &16384_u32.to_be_bytes());
    let class = CONTEXTS[1].as_bytes();
    let mut role = (class.len() as u16).to_be_bytes().to_vec();
    role.extend_from_slice(class);
    role.extend_from_slice(&[1, 1]);
    user.extend(item(0x54, &role));
    user.extend(item(0x53, &[0, if implicit { 1 } else { 4 }, 0, 1]));
    body.extend(item(0x50, &user));
    let mut out = Vec::new();
    pdu(&mut out, 1, &body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_become_pdus() {
        assert_eq!(conversation(&[0, 7, 7]), [7, 7]);
        let said = conversation(&[1, 0x17, 2, 0, 9, 9, 5, 0, 0]);
        assert_eq!(said[0], 1);
        assert!(said.ends_with(&[5, 0, 0, 0, 0, 4, 0, 0, 0, 0]));
        assert!(said.windows(8).any(|part| part == [0, 0, 0, 4, 3, 2, 9, 9]));
    }
}
