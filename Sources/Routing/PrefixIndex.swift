/// The path prefixes of one host, and which is the longest that a path begins with: found in as many steps as the
/// number of prefixes has binary digits, because one cluster may have thousands of them on one name and every request
/// for it is looked up on an event loop.
///
/// Prefixes are kept in an order in which all that lie below one of them follow it directly. So the longest that covers
/// a path is the last one that does not come after the path, or one of those above that.
@usableFromInline
struct PrefixIndex<Value: Sendable>: Sendable {
    @usableFromInline
    struct Entry: Sendable {
        @usableFromInline var path: [UInt8]
        @usableFromInline var value: Value
        /// The longest other prefix that covers this one; -1 for none.
        @usableFromInline var parent: Int
    }

    @usableFromInline private(set) var entries: [Entry]

    /// - Parameter values: by prefix, as `PathMatch.prefix` holds it.
    init(_ values: [[UInt8]: Value]) {
        entries = values.map { Entry(path: $0.key, value: $0.value, parent: -1) }
            .sorted { entry, other in entry.path.withUnsafeBytes { Self.precedes($0, other.path).yes } }
        // The prefixes that cover the one before, outermost first.
        var covering: [Int] = []
        for index in entries.indices {
            while let last = covering.last, !Self.covers(entries[last].path, entries[index].path) {
                covering.removeLast()
            }
            entries[index].parent = covering.last ?? -1
            covering.append(index)
        }
    }

    @inlinable
    func longest(of path: UnsafeRawBufferPointer) -> Value? {
        place(ofLongest: path).map { entries[$0].value }
    }

    /// The place in `entries` of the one that wins.
    @inlinable
    func place(ofLongest path: UnsafeRawBufferPointer) -> Int? {
        var low = 0
        var high = entries.count
        // How many bytes the path begins with that the entry before `low` begins with too.
        var common = 0
        while low < high {
            let middle = (low + high) / 2
            let order = Self.precedes(path, entries[middle].path)
            if order.yes {
                high = middle
            } else {
                low = middle + 1
                common = order.common
            }
        }
        var index = low - 1
        while index >= 0 {
            let length = entries[index].path.count
            if length <= common, length == path.count || path[length] == UInt8(ascii: "/") {
                return index
            }
            index = entries[index].parent
        }
        return nil
    }

    /// Whether a path comes before a prefix, and how many bytes both begin with. A slash comes before all other bytes,
    /// and the end before a slash.
    @inlinable
    static func precedes(_ path: UnsafeRawBufferPointer, _ prefix: [UInt8]) -> (yes: Bool, common: Int) {
        prefix.withUnsafeBufferPointer { prefix in
            let shorter = min(path.count, prefix.count)
            for index in 0..<shorter where path[index] != prefix[index] {
                let slash = UInt8(ascii: "/")
                if path[index] == slash { return (true, index) }
                if prefix[index] == slash { return (false, index) }
                return (path[index] < prefix[index], index)
            }
            return (path.count < prefix.count, shorter)
        }
    }

    /// Whether a path is a prefix or goes on behind it with a slash.
    static func covers(_ prefix: [UInt8], _ path: [UInt8]) -> Bool {
        path.starts(with: prefix) && (prefix.count == path.count || path[prefix.count] == UInt8(ascii: "/"))
    }
}
