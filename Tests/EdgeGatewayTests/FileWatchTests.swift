import Foundation
import Testing

@testable import EdgeGateway

@Suite("Noticing that a file has changed")
struct FileWatchTests {
    private let directory: URL

    init() throws {
        directory = FileManager.default.temporaryDirectory.appending(path: "watch-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    }

    private func write(_ name: String, _ text: String) throws {
        try Data(text.utf8).write(to: directory.appending(path: name))
    }

    private func path(_ name: String) -> String { directory.appending(path: name).path }

    @Test("another content is a change, the same written again is none, coming and going are changes")
    func files() throws {
        defer { try? FileManager.default.removeItem(at: directory) }
        try write("a", "one")
        try write("b", "two")
        var watch = FileWatch([path("a"), path("b")])
        #expect(watch.hasChanged() == false)
        // Of the same size and within the same moment.
        try write("b", "six")
        #expect(watch.hasChanged() == true)
        #expect(watch.hasChanged() == false)
        try write("a", "one")
        #expect(watch.hasChanged() == false)
        try FileManager.default.removeItem(atPath: path("a"))
        #expect(watch.hasChanged() == true)
        #expect(watch.hasChanged() == false)
        try write("a", "one")
        #expect(watch.hasChanged() == true)
    }

    @Test("the swap of a symbolic link, as of a mounted Secret, is a change")
    func mountedSecret() throws {
        defer { try? FileManager.default.removeItem(at: directory) }
        let files = FileManager.default
        func publish(_ version: String, _ text: String) throws {
            try files.createDirectory(atPath: path(version), withIntermediateDirectories: true)
            try write("\(version)/clusters.yaml", text)
            try files.createSymbolicLink(atPath: path("..data_tmp"), withDestinationPath: version)
            #expect(rename(path("..data_tmp"), path("..data")) == 0)
        }
        try publish("..v1", "old")
        try files.createSymbolicLink(atPath: path("clusters.yaml"), withDestinationPath: "..data/clusters.yaml")
        var watch = FileWatch([path("clusters.yaml")])
        #expect(watch.hasChanged() == false)
        try publish("..v2", "new")
        #expect(watch.hasChanged() == true)
        try publish("..v3", "new")
        #expect(watch.hasChanged() == false, "the same content under another link")
    }

    @Test("that the files are others is a change, also where one is gone and none is left")
    func otherFiles() throws {
        defer { try? FileManager.default.removeItem(at: directory) }
        try write("a", "one")
        try write("b", "one")
        var watch = FileWatch([path("a")])
        #expect(watch.hasChanged(to: [path("a")]) == false)
        #expect(watch.hasChanged(to: [path("a"), path("b")]) == true)
        #expect(watch.hasChanged(to: [path("a"), path("b")]) == false)
        #expect(watch.hasChanged(to: [path("b")]) == true)
        try write("b", "two")
        #expect(watch.hasChanged(to: [path("b")]) == true)
        #expect(watch.hasChanged(to: []) == true)
        #expect(watch.hasChanged(to: []) == false)
    }
}
