/// A repeatable sequence (SplitMix64), so that a failure can be seen again by its seed. `TestSupport` has the same; the
/// fuzzer is built from these files without it.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// Chooses as given bytes say, one for each choice, and by a repeatable sequence once they are used up.
struct Choices: RandomNumberGenerator {
    private var bytes: ArraySlice<UInt8>
    private var rest: SeededGenerator

    init(_ bytes: [UInt8] = [], seed: UInt64 = 0) {
        self.bytes = bytes[...]
        rest = SeededGenerator(seed: seed)
    }

    mutating func next() -> UInt64 {
        guard let byte = bytes.popFirst() else { return rest.next() }
        // The high bits decide.
        return UInt64(byte) &* 0x0101_0101_0101_0101
    }
}
