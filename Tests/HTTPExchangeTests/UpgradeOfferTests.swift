import HTTPExchange
import Testing

@Suite("Which upgrades may pass")
struct UpgradeOfferTests {
    @Test("any but HTTP/2", arguments: ["websocket", "WebSocket", "", "foo/1, bar", "oh2", "spdy/3,\twebsocket"])
    func passes(offer: String) { #expect(UpgradeOffer.mayPass(offer)) }

    @Test("HTTP/2 may not, wherever it stands", arguments: ["h2c", "H2C", "h2", "websocket, h2c", "a,\tH2c ,b"])
    func refused(offer: String) { #expect(!UpgradeOffer.mayPass(offer)) }
}
