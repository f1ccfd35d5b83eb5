import Foundation
import Testing

@Suite("The fuzzer's corpus")
struct FuzzCorpusTests {
    static let directory = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "Fuzz/corpus")

    @Test("Every seed and every past crash passes")
    func replay() throws {
        let files = try FileManager.default.contentsOfDirectory(at: Self.directory, includingPropertiesForKeys: nil)
        #expect(files.count >= 8)
        for file in files.sorted(by: { $0.path < $1.path }) {
            try Data(contentsOf: file).withUnsafeBytes { FuzzCase.run($0) }
        }
    }
}
