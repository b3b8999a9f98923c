use super::*;

/// Whether each of these blocks has a path with a fragment, in pieces of `step` bytes.
fn read(blocks: &[&[u8]], step: usize) -> Vec<bool> {
    let mut watch = PathWatch::default();
    let read = |block: &&[u8]| {
        block.chunks(step).for_each(|piece| watch.take(piece));
        watch.end()
    };
    blocks.iter().map(read).collect()
}

#[track_caller]
fn check(blocks: &[&[u8]], expected: &[bool]) {
    let longest = blocks.iter().map(|block| block.len()).max().unwrap_or(1);
    for step in 1..=longest {
        assert_eq!(read(blocks, step), expected, "pieces of {step}");
    }
}

/// `/a#b` and `/a` in the Huffman code.
const CODED: [&[u8]; 2] = [&[0x84, 0x60, 0x7f, 0xf5, 0x1f], &[0x82, 0x60, 0x7f]];

#[test]
fn a_fragment_is_found_in_a_path_however_it_is_written() {
    check(&[b"\x04\x04/a#b"], &[true]);
    check(&[b"\x15\x04/a#b"], &[true]);
    check(&[b"\x44\x01#"], &[true]);
    check(&[b"\x00\x05:path\x04/a#b"], &[true]);
    check(&[b"\x40\x84\xb9\x58\xd3\x3f\x04/a#b"], &[true]);
    check(&[&[&[0x04], CODED[0]].concat()], &[true]);
    check(&[b"\x82\x87\x41\x01h\x04\x04/a#b\x00\x01x\x01y"], &[true]);
    let long = [&b"\x3f\xe1\x1f\x04\x7f\x01/#"[..], &[b'a'; 126]].concat();
    check(&[&long], &[true]);
}

#[test]
fn a_fragment_is_found_by_its_index_as_long_as_it_has_one() {
    // Put in, pushed back by one entry, and named again.
    check(&[b"\x44\x02/#", b"\xbe", b"\x40\x01x\x01y\xbf", b"\xbe"], &[true, true, true, false]);
    check(&[b"\x44\x02/a\xbe", b"\x7e\x02/#\xbe\xbf", b"\xbf\xc0"], &[false, true, false]);
    check(&[b"\x44\x02/a", b"\x0f\x2f\x02/#"], &[false, true]);
}

#[test]
fn a_hash_that_is_in_no_path_is_none() {
    for block in [
        &b"\x82\x84\x87"[..],
        b"\x04\x02/a",
        b"\x00\x01x\x02/#",
        b"\x00\x05:patt\x02/#",
        b"\x00\x06:path#\x02/a",
        b"\x00\x04:pat\x02/#",
        b"\x41\x02a#",
        b"\x00\x84\xb9\x58\xd3\x3e\x02/#",
        b"\x40\x00\x01#",
        b"\x00\x01#\x00",
        b"\x04\x00\x00\x01#\x01#",
        &[&[0x04], CODED[1]].concat(),
        &[&b"\x00\x01x"[..], CODED[0]].concat(),
    ] {
        check(&[block], &[false]);
    }
}

#[test]
fn the_code_is_whole_and_a_hash_is_where_the_rfc_has_it() {
    assert_eq!(LIMITS[25], 1 << 32);
    let below = LIMITS[(HASH.0 - SHORTEST - 1) as usize];
    assert_eq!(below >> (32 - HASH.0), HASH.1);
}

proptest::proptest! {
    #[test]
    fn no_bytes_reach_a_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        read(&[&bytes], 7);
    }
}
