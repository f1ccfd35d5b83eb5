import KubernetesAPI
import Testing

@Suite("Label selectors")
struct LabelSelectorTests {
    private let labels = ["app": "web", "tier": "front", "n": "5", "empty": "", "example.com/in": "in"]

    @Test(
        "Labels are selected by equality, by sets and by presence",
        arguments: [
            ("", true), ("  ", true), ("app=web", true), ("app==web,tier=front", true), ("app=db", false),
            ("app!=db", true), ("app!=web", false), ("missing!=x", true), ("missing=x", false),
            ("app in (web, db)", true), ("app in(web)", true), ("app notin (web)", false), ("app notin (db)", true),
            ("missing notin (a)", true), ("missing in (a)", false), ("app", true), ("!app", false),
            ("missing", false), ("!missing", true), ("! missing", true), ("n>4", true), ("n>5", false), ("n<6", true),
            ("n<5", false), ("app>1", false), ("app in (web),tier!=back", true), ("app in (web),tier=back", false),
            ("empty=", true), ("app=", false), ("empty=,app=web", true), ("empty in (,a)", true),
            ("app in (a,)", false),
            ("example.com/in in (in)", true), ("example.com/in", true), ("\tapp\n=\r web ", true),
        ])
    func selection(text: String, selected: Bool) throws {
        #expect(try LabelSelector(text).matches(labels) == selected)
    }

    @Test("An object without labels is selected by what does not ask for any", arguments: ["", "!app", "app!=web"])
    func noLabels(text: String) throws {
        #expect(try LabelSelector(text).matches(nil))
        #expect(try !LabelSelector("app").matches(nil))
    }

    @Test(
        "A text that is no selector is refused, with the place and the reason",
        arguments: [
            ("a in b", 6, "has \"b\" where \"(\" belongs"),
            ("=x", 1, "has \"=\" where a label's key belongs"),
            ("a in (b", 8, "has the end where \",\" or \")\" belongs"),
            ("a in ()", 7, "has \")\" where at least one value belongs"),
            ("a ~ b", 3, "has \"~\" where one of"),
            ("a b", 3, "has \"b\" where one of"),
            ("n>x", 3, "has \"x\", which is not a whole number"),
            ("n>", 3, "has the end where a whole number belongs"),
            ("a=b,", 5, "has the end where a label's key belongs"),
            (",a=b", 1, "has \",\" where a label's key belongs"),
            ("a=b=c", 4, "has \"=\" where a comma or the end belongs"),
            ("!a=b", 3, "has \"=\" where a comma or the end belongs"),
            ("a=b c", 5, "has \"c\" where a comma or the end belongs"),
            ("a!b", 2, "has \"!\" where one of"),
            ("-a=b", 1, "has \"-a\", which is not a label's key"),
            ("a/b/c", 1, "has \"a/b/c\", which is not a label's key"),
            ("a=b_", 3, "has \"b_\", which is not a label's value"),
            ("a in (b/c)", 7, "has \"b/c\", which is not a label's value"),
            ("a=é", 3, "has \"é\", which is not a label's value"),
        ])
    func malformed(text: String, position: Int, reason: String) {
        let error = #expect(throws: LabelSelectorError.self) { try LabelSelector(text) }
        #expect(error?.position == position)
        #expect(error?.reason.hasPrefix(reason) == true, "\(error as Any)")
    }

    @Test("Two spellings of the same requirements are equal; what was written is kept")
    func spelling() throws {
        #expect(try LabelSelector("a = b") == LabelSelector("a==b"))
        #expect(try LabelSelector("a = b").description == "a = b")
        #expect(try LabelSelector(" ").isEmpty)
        #expect(LabelSelector.everything.isEmpty)
    }
}
