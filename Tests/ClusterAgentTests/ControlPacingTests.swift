import Testing
import TunnelProtocol

@testable import ClusterAgent

@Suite("What an agent says is paced by the line and by the gateway")
struct ControlPacingTests {
    private static func page(
        _ index: Int, of revision: Int64 = 1, last: Bool = false, _ action: ControlMessage.IngressRoutes.Action = .sync
    ) -> ControlMessage {
        .ingressRoutes(
            .init(
                action: action, clusterUUID: "abc-123", routes: [], revision: revision,
                page: action == .sync ? .init(index: index, last: last) : nil))
    }

    private static func heartbeat(_ routes: Int = 0) -> ControlMessage {
        .heartbeat(.init(metadata: .init(isPrivate: true, gatewayRoutes: routes), revision: -1, digest: ""))
    }

    /// Called outside of expectations, which cannot change what they look at.
    private static func answer(_ window: inout ControlWindow) -> Bool { window.heartbeatAnswered() }

    @Test("beyond the window nothing about routes leaves until a heartbeat behind it is answered")
    func window() {
        var window = ControlWindow()
        for index in 0..<ControlWindow.size {
            #expect(window.step == .send)
            window.sent(Self.page(index))
        }
        #expect(window.step == .heartbeat)
        window.sent(Self.heartbeat())
        #expect(window.step == .wait)
        #expect(Self.answer(&window))
        #expect(window.step == .send)
    }

    @Test("the answer to a heartbeat that went before does not count, nor does one that nobody asked for")
    func earlierAnswers() {
        var window = ControlWindow()
        #expect(!Self.answer(&window))
        window.sent(Self.heartbeat())
        for index in 0..<ControlWindow.size { window.sent(Self.page(index)) }
        window.sent(Self.heartbeat())
        #expect(!Self.answer(&window))
        #expect(window.step == .wait)
        #expect(Self.answer(&window))
        #expect(!Self.answer(&window))
    }

    @Test("a heartbeat that is asked for again makes up for an answer that got lost")
    func lostAnswer() {
        var window = ControlWindow()
        for index in 0..<ControlWindow.size { window.sent(Self.page(index)) }
        // The answer to this one gets lost.
        window.sent(Self.heartbeat())
        window.sent(Self.heartbeat())
        #expect(window.step == .wait)
        #expect(Self.answer(&window))
        #expect(window.step == .send)
    }

    private static func next(_ outbox: inout RouteOutbox) -> ControlMessage? { outbox.next() }

    @Test("heartbeats take turns with the pages of a set, and the newest stands for all that wait")
    func turns() {
        var outbox = RouteOutbox()
        outbox.add([Self.page(0), Self.page(1), Self.page(2, last: true), Self.heartbeat(1)])
        #expect(Self.next(&outbox) == Self.page(0))
        #expect(Self.next(&outbox) == Self.heartbeat(1))
        outbox.add([Self.heartbeat(2)])
        outbox.add([Self.heartbeat(3)])
        #expect(Self.next(&outbox) == Self.page(1))
        #expect(Self.next(&outbox) == Self.heartbeat(3))
        #expect(Self.next(&outbox) == Self.page(2, last: true))
        #expect(outbox.isSending, "it is on its way to the socket")
        #expect(Self.next(&outbox) == nil)
        #expect(!outbox.isSending)
    }

    @Test("a whole set stands for all that waits about routes, the rest of another set included")
    func superseded() {
        var outbox = RouteOutbox()
        outbox.add([Self.page(0), Self.page(1, last: true)])
        #expect(Self.next(&outbox) == Self.page(0))
        outbox.add([Self.page(0, of: 2), Self.page(1, of: 2, last: true)])
        #expect(Self.next(&outbox) == Self.page(0, of: 2))
        #expect(outbox.holds(2))
        #expect(!outbox.holds(1))
        #expect(Self.next(&outbox) == Self.page(1, of: 2, last: true))
        #expect(!outbox.holds(2))
        #expect(Self.next(&outbox) == nil)
    }
}
