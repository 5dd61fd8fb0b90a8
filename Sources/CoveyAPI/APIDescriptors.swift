internal import FoundationEssentials
internal import SwiftProtobuf

/// What the API consists of, read from the descriptor set that is embedded in the program.
package struct APIDescriptors: Sendable {
    /// A method of a service.
    package struct Method: Hashable, Sendable {
        /// The service's full name: `covey.v1.Images`.
        package var service: String
        /// The method's name: `Get`.
        package var name: String
        /// The request's full name: `covey.v1.GetImageRequest`.
        package var input: String
        /// The names of the request's fields.
        package var inputFields: [String]
        /// Whether the caller sends many messages.
        package var clientStreaming: Bool
        /// Whether the server sends many messages.
        package var serverStreaming: Bool

        /// `covey.v1.Images/Get`.
        package var path: String { "\(service)/\(name)" }
    }

    /// The full names of all services.
    package let services: [String]
    /// All methods.
    package let methods: [Method]
    private let files: [String: [UInt8]]
    private let dependencies: [String: [String]]
    private let fileOfSymbol: [String: String]

    /// Reads the embedded set. Errors: a set that cannot be decoded.
    package init() throws {
        let set = try Google_Protobuf_FileDescriptorSet(serializedBytes: PackageResources.covey_binpb)
        var services: [String] = []
        var methods: [Method] = []
        var files: [String: [UInt8]] = [:]
        var dependencies: [String: [String]] = [:]
        var symbols: [String: String] = [:]
        var fields: [String: [String]] = [:]
        for file in set.file {
            files[file.name] = try file.serializedBytes()
            dependencies[file.name] = file.dependency
            let scope = file.package.isEmpty ? "" : file.package + "."
            for message in file.messageType {
                APIDescriptors.index(message, scope: scope, file: file.name, &symbols, &fields)
            }
            for enumeration in file.enumType { symbols[scope + enumeration.name] = file.name }
        }
        for file in set.file {
            for service in file.service {
                let name = "\(file.package).\(service.name)"
                services.append(name)
                symbols[name] = file.name
                for method in service.method {
                    symbols["\(name).\(method.name)"] = file.name
                    let input = String(method.inputType.drop { $0 == "." })
                    methods.append(
                        Method(
                            service: name, name: method.name, input: input, inputFields: fields[input] ?? [],
                            clientStreaming: method.clientStreaming, serverStreaming: method.serverStreaming))
                }
            }
        }
        self.services = services
        self.methods = methods
        self.files = files
        self.dependencies = dependencies
        fileOfSymbol = symbols
    }

    /// A file's serialized descriptor with those that it depends on, itself first; nil where there is none.
    package func file(_ name: String) -> [[UInt8]]? {
        guard files[name] != nil else { return nil }
        var order = [name]
        var position = 0
        while position < order.count {
            for next in dependencies[order[position]] ?? [] where !order.contains(next) { order.append(next) }
            position += 1
        }
        return order.compactMap { files[$0] }
    }

    /// The file that declares a message, enumeration, service or method, as ``file(_:)``.
    package func file(declaring symbol: String) -> [[UInt8]]? {
        fileOfSymbol[symbol].flatMap { file($0) }
    }

    private static func index(
        _ message: Google_Protobuf_DescriptorProto, scope: String, file: String, _ symbols: inout [String: String],
        _ fields: inout [String: [String]]
    ) {
        let name = scope + message.name
        symbols[name] = file
        fields[name] = message.field.map(\.name)
        for field in message.field { symbols["\(name).\(field.name)"] = file }
        for inner in message.nestedType { index(inner, scope: name + ".", file: file, &symbols, &fields) }
        for enumeration in message.enumType { symbols["\(name).\(enumeration.name)"] = file }
    }
}
