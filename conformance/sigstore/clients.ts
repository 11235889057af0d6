/**
 * Sigstore's own packages, unmodified, as far as they are used here. They are development dependencies: where they are not
 * installed, what needs them is skipped. Their types are not imported, so that the tree compiles without them.
 */
export interface SigstoreSigner { sign(data: Uint8Array): Promise<{ signature: Buffer; key: { $case: 'publicKey'; hint: string; publicKey: string } | { $case: 'x509Certificate'; certificate: string } }> }
interface BuilderOptions { readonly signer: SigstoreSigner; readonly witnesses: readonly object[] }
interface Builder { create(artifact: { data: Buffer; type?: string }): Promise<object> }

export interface Clients {
  readonly sign: {
    readonly DSSEBundleBuilder: new (options: BuilderOptions) => Builder
    readonly MessageSignatureBundleBuilder: new (options: BuilderOptions) => Builder
    readonly RekorWitness: new (options: { rekorBaseURL: string; majorApiVersion: 2; timeout: number; retry: number }) => object
    readonly TSAWitness: new (options: { tsaBaseURL: string; timeout: number; retry: number }) => object
  }
  readonly verify: {
    readonly Verifier: new (trust: object, options: { tlogThreshold: number; ctlogThreshold: number; timestampThreshold: number }) => { verify(entity: object): object }
    toSignedEntity(bundle: object, artifact?: Buffer): object
    toTrustMaterial(root: object, keys: (hint: string) => object): object
  }
  readonly bundle: { bundleFromJSON(json: unknown): object; bundleToJSON(bundle: object): unknown }
  readonly specs: { readonly TrustedRoot: { fromJSON(json: unknown): object } }
}

/** Undefined when one of the packages is not installed. */
export async function loadClients(): Promise<Clients | undefined> {
  const [sign, verify, bundle, specs] = await Promise.all(['sign', 'verify', 'bundle', 'protobuf-specs'].map(async name => load(`@sigstore/${name}`)))
  if (sign === undefined || verify === undefined || bundle === undefined || specs === undefined) return undefined
  // The packages' own shapes; a version with others fails the first case that uses it.
  return { sign, verify, bundle, specs } as unknown as Clients
}

async function load(name: string): Promise<object | undefined> {
  try {
    return await import(name) as object
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND') return undefined
    throw error
  }
}
