/** The four documents of the charter's specification (section 12), with the sizes and digests an independent implementation computed. */
export const FRAUD = `charter: 1
name: motor-fraud-ring
epoch: 1
parties:
  alpha: { keys: [ed25519:43d003beed35656e0cf49c1ef2d30fb5aff39721eb884468e9e86dfa41c9201a] }
  bravo: { keys: [ed25519:5a4395ba7b85c7f4d15841c6cba98438d0a01d807254d60e1489561505be821e] }
  carol: { keys: [ed25519:a1c13a089d439793c28f0b44dc8ad8332c68fb9114022cda903c1b26c60b5689] }
programs:
  match:
    run: { sql: sha256:767bfed953eef47d7aab9bf12b644b72286653b676fd5c588330f6925b761874 }   # reviewed query file, fixed parameters
    on:  { tee: [snp, tdx], tcb: current, where: [EU] }
assets:
  a-claims: { owner: alpha, kind: data, at: "s3://alpha/claims.parquet.age", person: person_id, ttl: 30d }
  b-claims: { owner: bravo, kind: data, at: "s3://bravo/claims.parquet.age", person: person_id, ttl: 30d }
  c-claims: { owner: carol, kind: data, at: "s3://carol/claims.parquet.age", person: person_id, ttl: 30d }
grants:
  - asset: [a-claims, b-claims, c-claims]      # sugar: one grant each
    to: match
    can: read
    budget: { uses: 1, per: 1d }
    out:
      - { to: [alpha, bravo, carol], shape: rows, about: own }                     # "your claim 17 was also filed elsewhere"
      - { to: [alpha, bravo, carol], shape: aggregate, atLeast: 10, epsilon: 0.5 }
change:
  widen:     { of: [alpha, bravo, carol], need: 3, notice: 2d }
  emergency: { of: [alpha, bravo, carol], need: 3, lasts: 4h }
recover: { of: [alpha, bravo, carol], need: 2 }
log: { at: "https://log.example", witnesses: 2, head: 1h }
`
export const MODEL = `charter: 1
name: chat
epoch: 1
parties:
  lab:   { keys: [ed25519:46e606a415c8f8f46cf0a10f1539585c8f37a0559af762e62f1cbdea29c7657e, ed25519:dc0beae421b5da51e441a51ec4cf08bb4491cc9079d075c4cc06304d185722dc, ed25519:fd42c0bf2ddfc0421d579614169d2c3233803a6d4bfda19f6e954ef54e8a90fd], need: 2 }
  guard: { keys: [ed25519:e8691f0eb5a233dc43720bd0518eeb83c430df3f2af0a8509347967574cb49bc] }
programs:
  serve:
    run: { image: "registry.example/lab/loader@sha256:130aad782ca5c839356c7f3ed7faa81b47dd9e7908d8fdf5b6f09990e174f36c" }
    on:  { tee: [tdx, snp], tcb: current, gpu: [hopper, blackwell] }
    net: { listen: [443] }
assets:
  weights: { owner: lab, kind: model, at: "ipfs://bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi", digest: "sha256:7ce469c16045233c69e7bcf04efec64a46f423b11cbcd365f6875bec70c17d5b" }
grants:
  - asset: weights
    to: serve
    can: use                                # decrypted inside, never readable
    needs: [guard.safe]                     # classifier's signature with every request
    out: [{ to: ["*"], shape: stream, rate: 250000 }]
change: { widen: { of: [lab, guard], need: 2, notice: 1d } }
log: { at: "https://log.example", witnesses: 2, head: 1h }
`
export const TOOLS = `charter: 1
name: calendar-tools
epoch: 1
parties: { maker: { keys: [ed25519:74c1d9f93261e2cd70b86afa37d466277c178aaafcb7cbd1abf55daabeae1af9] } }
programs:
  tools:
    run:    { image: "registry.example/maker/calendar-mcp@sha256:9623bd798ffae388a767704cdbcabcbbade4407aa0fcfa503be5123d3b91362a" }
    config: { tools: "sha256:fb77cffa55f66cf535a78b8227629ae60ea2b36ac1ee39900cb3ba9b940f0b01" }   # names + descriptions of the tools
    on:     { tee: [snp, tdx, nitro] }
    net:    { listen: [443], reach: ["www.googleapis.com:443"] }
assets:
  token: { owner: maker, kind: credential }
grants:
  - { asset: token, to: tools, can: use, out: [{ to: [caller], shape: bytes }] }
change: { widen: { of: [maker], need: 1, notice: 7d } }
log: { at: "https://log.example", witnesses: 2, head: 1d }
`
export const BOX = `charter: 1
name: my-box
epoch: 1
parties: { me: { keys: [ed25519:94289de24ca627bbf5ab276270da25dc3b961ed0f2001e804e3d4ffc31442e58] } }
programs:
  app: { run: { image: "nginx@sha256:0366d48c78ac24873fb85132806eaeb1674515a6011b0558eb67573d63aaf719" }, on: { tee: [snp, tdx] }, net: { listen: [443] } }
assets:
  disk: { owner: me, kind: disk }
grants:
  - { asset: disk, to: app, can: use, as: /data }
change: { widen: { of: [me], need: 1, notice: 0s } }
log: { at: "https://log.example", witnesses: 1, head: 1d }
`

export const DOCUMENTS = [
  { yaml: FRAUD, bytes: 1796, digest: 'sha256:992d0ea9e0b681955ac7a47fa6b5cf047563708834fe1b0244a51e511f700af4' },
  { yaml: MODEL, bytes: 1080, digest: 'sha256:baab6b75ce31f2ec25ad178969d18425ed8aa3834b09dcbb5114650898de9479' },
  { yaml: TOOLS, bytes: 761, digest: 'sha256:9c288dfb5555492b36013a4399cc3e8cace9ce3a4e8dc7b218a6f5b6d7e0ca89' },
  { yaml: BOX, bytes: 537, digest: 'sha256:c89e49c7bacd0190746e5e7ce399d40a6ce42e395f6111f383d929f75a9a6cd7' },
]
