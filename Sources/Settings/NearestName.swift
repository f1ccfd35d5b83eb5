/// Finds what a person probably meant.
package enum NearestName {
    /// The candidate with the smallest edit distance, if it is near enough to be a slip of the hand.
    package static func to(_ name: String, among candidates: some Sequence<String>) -> String? {
        let source = Array(name.lowercased().map { $0 == "_" ? "-" : $0 })
        let nearest = candidates.map { (distance(source, Array($0)), $0) }.min { $0 < $1 }
        guard let (distance, candidate) = nearest else { return nil }
        return distance <= max(2, candidate.count / 3) ? candidate : nil
    }

    /// Levenshtein distance.
    private static func distance(_ left: [Character], _ right: [Character]) -> Int {
        var row = Array(0...right.count)
        for (index, character) in left.enumerated() {
            var diagonal = row[0]
            row[0] = index + 1
            for column in right.indices {
                let substitution = diagonal + (character == right[column] ? 0 : 1)
                diagonal = row[column + 1]
                row[column + 1] = min(substitution, row[column] + 1, diagonal + 1)
            }
        }
        return row[right.count]
    }
}
