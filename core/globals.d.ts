// The only ambient names core may use beside ECMAScript itself: both stand in Node >= 20, browsers and workers.
declare class TextEncoder { encode(text?: string): Uint8Array<ArrayBuffer> }
declare class TextDecoder { constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean }); decode(bytes?: Uint8Array): string }
