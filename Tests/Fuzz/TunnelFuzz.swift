/// The fuzzer's way in; see `hack/fuzz`.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let input = UnsafeRawBufferPointer(start: start, count: count)
    switch input.first.map({ $0 % 7 }) {
    case WebSocketFuzzCase.remainder: WebSocketFuzzCase.run(input)
    case FirstBytesFuzzCase.remainder: FirstBytesFuzzCase.run(input)
    default: FuzzCase.run(input)
    }
    return 0
}
