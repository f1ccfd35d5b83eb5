/// The fuzzer's way in; see `hack/fuzz`.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    FuzzCase.run(UnsafeRawBufferPointer(start: start, count: count))
    return 0
}
