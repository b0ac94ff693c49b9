//! Ports of other protocols than HTTP. A request that reaches such a server may be taken for one of
//! its own: a mail that is sent, say (cross-protocol requests; the Fetch standard, "port blocking").

/// The Fetch standard's list of bad ports.
const OF_OTHER_PROTOCOLS: [u16; 82] = [
    1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102,
    103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465,
    512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993,
    995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668,
    6669, 6679, 6697, 10080,
];

/// Whether `port` belongs to another protocol.
pub fn is_of_another_protocol(port: u16) -> bool {
    OF_OTHER_PROTOCOLS.binary_search(&port).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_leaves_http_alone() {
        assert!(OF_OTHER_PROTOCOLS.is_sorted());
        assert!(
            [22, 25, 53, 587, 6667]
                .iter()
                .all(|p| is_of_another_protocol(*p))
        );
        assert!(
            ![80, 443, 8080, 8443]
                .iter()
                .any(|p| is_of_another_protocol(*p))
        );
    }
}
