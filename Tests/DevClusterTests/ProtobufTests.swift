import DevCluster
import Testing

@Suite("Protobuf bodies")
struct ProtobufTests {
    /// A field of wire type 2.
    private func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] {
        [number << 3 | 2, UInt8(bytes.count)] + bytes
    }

    private func field(_ number: UInt8, _ text: String) -> [UInt8] { field(number, Array(text.utf8)) }

    private func body(_ apiVersion: String, _ kind: String, _ object: [UInt8]) -> [UInt8] {
        Array("k8s\0".utf8) + field(1, field(1, apiVersion) + field(2, kind)) + field(2, object)
    }

    private var configMap: [UInt8] {
        body(
            "v1", "ConfigMap",
            field(1, field(1, "name") + field(8, []) + field(11, field(1, "l") + field(2, "v")))
                + field(2, field(1, "a") + field(2, "b")) + field(2, field(1, "empty") + field(2, ""))
                + field(3, field(1, "bin") + field(2, [1, 2, 255])))
    }

    @Test("An object is read as the JSON it stands for")
    func reading() throws {
        let object = try ProtobufTypes.decode(configMap)
        let expected: JSONValue = [
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "name", "labels": ["l": "v"]],
            "data": ["a": "b", "empty": ""], "binaryData": ["bin": "AQL/"],
        ]
        #expect(object == expected)
    }

    @Test("A body that is cut off anywhere is refused, never a crash")
    func truncation() {
        // The first bytes up to the end of the type are an object without content.
        for count in 0..<configMap.count {
            do throws(APIStatus) {
                _ = try ProtobufTypes.decode(Array(configMap.prefix(count)))
            } catch {
                #expect(error.code == 400 || error.code == 415)
            }
        }
        #expect(throws: APIStatus.self) { try ProtobufTypes.decode(Array(configMap.dropLast())) }
    }

    @Test("A type that is not known in this form is 415, so that the client sends JSON")
    func unknownType() {
        let status = #expect(throws: APIStatus.self) { try ProtobufTypes.decode(body("batch/v1", "Job", [])) }
        #expect(status?.code == 415)
    }

    @Test("A field that is not known is refused instead of lost")
    func unknownField() {
        let object = field(1, field(1, "n")) + field(9, "something")
        let status = #expect(throws: APIStatus.self) { try ProtobufTypes.decode(body("v1", "ConfigMap", object)) }
        #expect(status?.code == 400)
        #expect(status?.message.contains("field 9") == true)
    }
}
