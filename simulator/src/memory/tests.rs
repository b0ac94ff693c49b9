use super::*;

/// Spelt backwards, so that the program's own text does not hold it.
fn backwards(text: &[u8]) -> Vec<u8> {
    text.iter().rev().copied().collect()
}

#[test]
fn finds_what_is_there_and_touches_nothing_else() {
    let needle = backwards(b"ereh si eldeen siht");
    let mut untouched: Vec<u8> = Vec::with_capacity(1 << 30);
    let across_pages = [vec![0; 8190], needle.clone(), vec![0; 8190]].concat();
    let forms = [("needle", needle)];
    let found = scan(std::process::id(), &forms).unwrap();
    let place = across_pages.as_ptr() as u64 + 8190;
    let here = found.iter().filter(|found| found.address == place);
    assert_eq!(here.count(), 1);
    let start = untouched.spare_capacity_mut().as_ptr() as u64;
    let pages = Pages::of(std::process::id()).unwrap();
    let touched: u64 = pages
        .touched(start..start + (1 << 30))
        .unwrap()
        .iter()
        .map(|r| r.end - r.start)
        .sum();
    assert!(touched < 1 << 22, "{touched} bytes were read into being");
}

#[test]
fn what_lies_across_two_windows_is_found_once() {
    let needle = backwards(b"swodniw owt ssorca seil taht eldeen a");
    // At every page of a block longer than a window one, so that some lie across its end wherever
    // the block's mapping begins.
    let step = 4096 - 5;
    let mut block = vec![0_u8; WINDOW_BYTES + (1 << 20)];
    let offsets: Vec<usize> = (0..block.len() - needle.len()).step_by(step).collect();
    for offset in &offsets {
        block[*offset..][..needle.len()].copy_from_slice(&needle);
    }
    let found = scan(std::process::id(), &[((), needle)]).unwrap();
    let start = block.as_ptr() as u64;
    let inside = start..start + block.len() as u64;
    let mut places: Vec<u64> = found
        .into_iter()
        .map(|found| found.address)
        .filter(|address| inside.contains(address))
        .collect();
    places.sort_unstable();
    let planted: Vec<u64> = offsets.iter().map(|at| start + *at as u64).collect();
    assert!(places == planted, "{} of {}", places.len(), planted.len());
}

#[test]
fn each_form_planted_in_this_process_is_found() {
    let mut random = [0; 20];
    aws_lc_rs::rand::fill(&mut random).unwrap();
    // With what tells the two alphabets of base64 apart at any alignment, in each half.
    let secret = format!("/?????{}?????=", hex::encode(random));
    for (form, planted) in forms::tests::planted(&secret) {
        let needles = Needles::new(forms_of(secret.as_bytes())).unwrap();
        let found = needles.find_in(&planted);
        assert!(
            found.iter().any(|(label, _)| *label == form),
            "{form} is not found: {found:?}"
        );
        let start = planted.as_ptr() as u64;
        let inside = start..start + planted.len() as u64;
        let scanned = needles.scan(std::process::id()).unwrap();
        assert!(
            scanned
                .iter()
                .any(|found| found.form == form && inside.contains(&found.address)),
            "{form} is not found in the process"
        );
    }
}
