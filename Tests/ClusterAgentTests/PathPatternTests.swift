import ClusterAgent
import Testing

@Suite("Paths that are regular expressions")
struct PathPatternTests {
    @Test(
        "A pattern is served as its literal stem, up to the last segment it has whole",
        arguments: [
            ("/api(/|$)(.*)", "/api"), ("/api($|/)(.*)", "/api"), ("/api(?:/|$)(.*)", "/api"), ("/api$", "/api"),
            ("/api/?$", "/api"), ("/api(/.*)?$", "/api"), ("/api(/.*|$)", "/api"), ("/api/(.*)", "/api"),
            ("/api/v1/.*", "/api/v1"), ("/api/+x", "/api"), ("/a/b/c(/|$)(.*)", "/a/b/c"),
            ("/foo.*", "/"), ("/foo/bar.*", "/foo"), ("/foo(.*)", "/"), ("/foo/?(.*)", "/"), ("/a/foo/?(.*)", "/a"),
            ("/foo/?bar", "/"), ("/foo(/|$)?x", "/"), ("/foo[0-9]+", "/"), ("/x/foo?", "/x"), ("/x/fo+", "/x"),
            ("/x/fo{2}", "/x"), ("/(.*)", "/"), ("/.*", "/"), ("/*", "/"), ("/?(.*)", "/"), ("/", nil),
            ("/a|/b", "/"), ("/a(b|c)|/d", "/"), ("/a/(b|c)", "/a"), ("/a/[|]b", "/a"), (#"/a\|b/(.*)"#, "/a|b"),
            (#"/v1/user\.json"#, "/v1/user.json"), (#"/v1\.2(/|$)"#, "/v1.2"), (#"/n/\d+"#, "/n"), (#"/n\d+"#, "/"),
            ("/v1.2(/|$)(.*)", "/"), ("/é/ü?", "/é"), ("/é(/|$)", "/é"), ("/a\\", "/"),
            ("/favicon.ico", nil), ("/plain", nil), ("/plain/", nil), ("/a-b_c~d%20e", nil),
        ])
    func stems(path: String, stem: String?) { #expect(PathPattern.stem(of: path) == stem) }

    @Test(
        "Paths are patterns with use-regex or rewrite-target",
        arguments: [
            (["nginx.ingress.kubernetes.io/use-regex": "true"], true),
            (["nginx.ingress.kubernetes.io/use-regex": "1"], true),
            (["nginx.ingress.kubernetes.io/use-regex": "false"], false),
            (["nginx.ingress.kubernetes.io/use-regex": "yes"], false),
            (["nginx.ingress.kubernetes.io/rewrite-target": "/$2"], true),
            (["nginx.ingress.kubernetes.io/rewrite-target": "/"], true),
            (["nginx.ingress.kubernetes.io/rewrite-target": ""], false),
            (["gateway.pipeops.io/use-regex": "true"], false), ([:], false),
        ])
    func annotations(annotations: [String: String], isEnabled: Bool) {
        #expect(PathPattern.isEnabled(by: annotations) == isEnabled)
    }
}
