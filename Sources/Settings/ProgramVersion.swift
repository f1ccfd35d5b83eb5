/// The version that programs report and send.
package enum ProgramVersion {
    package static let current = "0.1.0"
}
