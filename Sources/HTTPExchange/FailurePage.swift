import NIOCore

/// A failure for people with a browser: one page that needs nothing else, in the colours that the reader prefers.
enum FailurePage {
    /// The page loads nothing and runs nothing, whatever might get into it.
    static let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

    static func body(_ failure: ExchangeFailure, detail: String, _ request: FailedRequest) -> ByteBuffer {
        let title = ReasonPhrase(failure.status).text
        var facts = [("Code", failure.code)]
        if !request.host.isEmpty { facts.insert(("Host", request.host), at: 0) }
        if let since = request.offlineSince { facts.append(("Offline since", since)) }
        if !request.requestID.isEmpty { facts.append(("Request", request.requestID)) }
        let list = facts.map { "<dt>\($0)</dt><dd>\(escaped($1))</dd>" }.joined(separator: "\n")
        return ByteBuffer(
            string: """
                <!doctype html>
                <html lang="en">
                <head>
                <meta charset="utf-8">
                <meta name="viewport" content="width=device-width, initial-scale=1">
                <title>\(failure.status) \(title)</title>
                <style>\(style)</style>
                </head>
                <body>
                <main>
                <p class="status">\(failure.status)</p>
                <h1>\(title)</h1>
                <p>\(escaped(detail))</p>
                <p class="hint">\(escaped(failure.hint))</p>
                <dl>
                \(list)
                </dl>
                </main>
                </body>
                </html>

                """)
    }

    /// For text between tags and in attributes.
    static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            case _ where scalar.value < 0x20 || scalar.value == 0x7F: result += " "
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private static let style = """
        :root{color-scheme:light dark;--back:#f6f7f9;--card:#fff;--text:#1d2330;--soft:#5b6475;--line:#e1e5eb}
        @media(prefers-color-scheme:dark){:root{--back:#12151b;--card:#1b2029;--text:#e8ebf0;--soft:#9aa4b5;--line:#2c3440}}
        *{box-sizing:border-box}
        body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;background:var(--back);
        color:var(--text);font:16px/1.6 system-ui,sans-serif}
        main{width:100%;max-width:38rem;padding:2.5rem;background:var(--card);border:1px solid var(--line);
        border-radius:12px}
        .status{margin:0;color:var(--soft);font-weight:600;letter-spacing:.08em}
        h1{margin:.1em 0 .6em;font-size:1.75rem;line-height:1.2}
        .hint{color:var(--soft)}
        dl{display:grid;grid-template-columns:max-content 1fr;gap:.3rem 1.2rem;margin:2rem 0 0;padding-top:1.2rem;
        border-top:1px solid var(--line);font-size:.875rem}
        dt{color:var(--soft)}
        dd{margin:0;font-family:ui-monospace,monospace;overflow-wrap:anywhere}
        """
}
