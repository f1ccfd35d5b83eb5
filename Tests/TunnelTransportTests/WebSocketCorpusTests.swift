import Foundation
import Testing

@Suite("The fuzzer's corpus of WebSocket streams")
struct WebSocketCorpusTests {
    private static let directory = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "Fuzz/corpus")

    @Test("Every seed and every past crash passes")
    func replay() throws {
        var count = 0
        for file in try FileManager.default.contentsOfDirectory(at: Self.directory, includingPropertiesForKeys: nil) {
            let input = try Data(contentsOf: file)
            guard let first = input.first, first % 7 == WebSocketFuzzCase.remainder else { continue }
            count += 1
            input.withUnsafeBytes { WebSocketFuzzCase.run($0) }
        }
        #expect(count >= 3)
    }
}
