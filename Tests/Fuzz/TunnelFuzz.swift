/// The fuzzer's way in; see `hack/fuzz`.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let input = UnsafeRawBufferPointer(start: start, count: count)
    if let first = input.first, first % 6 == WebSocketFuzzCase.remainder {
        WebSocketFuzzCase.run(input)
    } else {
        FuzzCase.run(input)
    }
    return 0
}
