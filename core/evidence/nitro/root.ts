/**
 * The root of AWS Nitro Enclaves, pinned (aws-nitro-enclaves.amazonaws.com/AWS_NitroEnclaves_Root-G1.zip). It is the whole of
 * what makes Nitro evidence believable: whoever changes this file changes whom everybody trusts.
 */
import { fromBase64 } from '../../bytes/base64.ts'
import { parseCertificate, type Certificate } from '../../crypto/x509.ts'
import { orRefuse } from '../../refusal.ts'

/** The pinned certificates, parsed once. */
export function nitroRoots(): readonly Certificate[] {
  return (parsed ??= [orRefuse(parseCertificate(fromBase64(ROOT_G1.replace(/\s/g, '')), 'AWS Nitro Enclaves Root G1'))])
}

let parsed: readonly Certificate[] | undefined

/** CN=aws.nitro-enclaves, 2019-10-28 to 2049-10-28; SHA-256 of the DER 641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b. */
const ROOT_G1 = `MIICETCCAZagAwIBAgIRAPkxdWgbkK/hHUbMtOTn+FYwCgYIKoZIzj0EAwMwSTELMAkGA1UEBhMCVVMxDzANBgNVBAoMBkFtYXpvbjEMMAoGA1UECwwDQVdTMRswGQYDVQQDDBJhd3Mubml0cm8tZW
5jbGF2ZXMwHhcNMTkxMDI4MTMyODA1WhcNNDkxMDI4MTQyODA1WjBJMQswCQYDVQQGEwJVUzEPMA0GA1UECgwGQW1hem9uMQwwCgYDVQQLDANBV1MxGzAZBgNVBAMMEmF3cy5uaXRyby1lbmNsYXZl
czB2MBAGByqGSM49AgEGBSuBBAAiA2IABPwCVOumCMHzaHDimtqQvkY4MpJzbolL//Zy2YlES1BR5TSksfbb48C8WBoyt7F2Bw7eEtaaP+ohG2bnUs990d0JX28TcPQXCEPZ3BABIeTPYwEoCWZEh8
l5YoQwTcU/9KNCMEAwDwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4EFgQUkCW1DdkFR+eWw5b6cp3PmanfS5YwDgYDVR0PAQH/BAQDAgGGMAoGCCqGSM49BAMDA2kAMGYCMQCjfy+Rocm9Xue4YnwWmNJV
A44fA0P5W2OpYow9OYCVRaEevL8uO1XYru5xtMPWrfMCMQCi85sWBbJwKKXdS6BptQFuZbT73o/gBh1qUxl/nNr12UO8Yfwr6wPLb+6NIwLz3/Y=`
