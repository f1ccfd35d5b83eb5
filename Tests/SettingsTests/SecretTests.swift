import Settings
import Testing

private enum Name: String, SettingName {
    case config
    case tokenFile = "token-file"
}

@Suite("Secrets")
struct SecretTests {
    @Test("A secret cannot be seen in any description or dump, only revealed")
    func redaction() {
        let secret = Secret("hunter2")
        var dumped = ""
        dump(["token": secret], to: &dumped)
        for text in ["\(secret)", secret.debugDescription, String(reflecting: secret), "\([secret])", dumped] {
            #expect(!text.contains("hunter2"))
        }
        #expect(secret.reveal() == "hunter2")
    }

    @Test("A secret file is trimmed, and read again each time")
    func rereading() throws {
        let path = try withTemporaryFile("  s3cret\n") { path in
            let reader = try SettingsReader<Name>(flags: [.tokenFile: path], environment: [:], prefix: "T")
            let file = try #require(try reader.secretFile(.tokenFile))
            try #expect(file.read().reveal() == "s3cret")
            return file
        }
        #expect(throws: SettingsError.self) { try path.read() }
    }

    @Test(
        "A secret file that holds no secret is refused without showing its content",
        arguments: ["", " \n", "a\nb", "a\0b"])
    func refusals(content: String) throws {
        try withTemporaryFile(content) { path in
            let error = #expect(throws: SettingsError.self) {
                _ = try SettingsReader<Name>(flags: [:], environment: ["T_TOKEN_FILE": path], prefix: "T")
                    .secretFile(.tokenFile)
            }
            #expect(error?.setting == "T_TOKEN_FILE")
            #expect(error?.value == path)
            #expect(error?.description.contains("a\nb") == false)
        }
    }
}
