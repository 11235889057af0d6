/**
 * Whom a document must chain to before it is filed: the roots that the verifier pins, and Intel's two authorities over
 * platforms, because the provisioning service sends a revocation list's issuer in a header that is easily lost. The
 * authorities are believed no more than any certificate: they must chain to the pinned root like the others.
 */
import { fromBase64 } from '@cloister/core/bytes/base64'
import { parseCertificate, type Certificate } from '@cloister/core/crypto/x509'
import { intelRoot } from '@cloister/core/evidence/dcap/root'
import { nvidiaRoots, type NvidiaRoots } from '@cloister/core/evidence/nvidia/roots'
import { amdRoots } from '@cloister/core/evidence/snp/roots'
import type { RootSet } from '@cloister/core/evidence/snp/verify'
import { orRefuse } from '@cloister/core/refusal'

export interface VendorRoots {
  readonly amd: readonly RootSet[]
  readonly intel: Certificate
  readonly intelAuthorities: readonly Certificate[]
  readonly nvidia: NvidiaRoots
}

export function vendorRoots(): VendorRoots {
  return (known ??= { amd: amdRoots(), intel: intelRoot(), intelAuthorities: [PLATFORM, PROCESSOR].map(text => orRefuse(parseCertificate(fromBase64(text)))), nvidia: nvidiaRoots() })
}

let known: VendorRoots | undefined

/** Intel SGX PCK Platform CA, 2018 to 2033. SHA-256 of the DER: 22eb770dca215b607b5ccfc21a672b1da5cc660b1ad0365020567979edcaa0e1. */
const PLATFORM = (
  'MIICljCCAj2gAwIBAgIVAJVvXc29G+HpQEnJ1PQzzgFXC95UMAoGCCqGSM49BAMCMGgxGjAYBgNVBAMMEUludGVsIFNHWCBSb290IENBMRowGAYDVQQKDBFJbnRlbCBDb3Jwb3JhdGlvbjEUMBIGA1UEBwwLU2Fu' +
  'dGEgQ2xhcmExCzAJBgNVBAgMAkNBMQswCQYDVQQGEwJVUzAeFw0xODA1MjExMDUwMTBaFw0zMzA1MjExMDUwMTBaMHAxIjAgBgNVBAMMGUludGVsIFNHWCBQQ0sgUGxhdGZvcm0gQ0ExGjAYBgNVBAoMEUludGVs' +
  'IENvcnBvcmF0aW9uMRQwEgYDVQQHDAtTYW50YSBDbGFyYTELMAkGA1UECAwCQ0ExCzAJBgNVBAYTAlVTMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAENSB/7t21lXSO2Cuzpxw74eJB72EyDGgW5rXCtx2tVTLq' +
  '6hKk6z+UiRZCnqR7psOvgqFeSxlmTlJleTmi2WYz3qOBuzCBuDAfBgNVHSMEGDAWgBQiZQzWWp00ifODtJVSv1AbOScGrDBSBgNVHR8ESzBJMEegRaBDhkFodHRwczovL2NlcnRpZmljYXRlcy50cnVzdGVkc2Vy' +
  'dmljZXMuaW50ZWwuY29tL0ludGVsU0dYUm9vdENBLmRlcjAdBgNVHQ4EFgQUlW9dzb0b4elAScnU9DPOAVcL3lQwDgYDVR0PAQH/BAQDAgEGMBIGA1UdEwEB/wQIMAYBAf8CAQAwCgYIKoZIzj0EAwIDRwAwRAIg' +
  'XsVki0w+i6VYGW3UF/22uaXe0YJDj1UenA+TjD1ai5cCICYb1SAmD5xkfTVpvo4UoyiSYxrDWLmUR4CI9NKyfPN+'
)
/** Intel SGX PCK Processor CA, 2018 to 2033. SHA-256 of the DER: 13b2dccef8fc4ec977ee5249743b0f758ebd1e28d768b2e1e12bc348adaa09fb. */
const PROCESSOR = (
  'MIICmDCCAj6gAwIBAgIVANDoqtp11/kuSReYPHsUZdDV8llNMAoGCCqGSM49BAMCMGgxGjAYBgNVBAMMEUludGVsIFNHWCBSb290IENBMRowGAYDVQQKDBFJbnRlbCBDb3Jwb3JhdGlvbjEUMBIGA1UEBwwLU2Fu' +
  'dGEgQ2xhcmExCzAJBgNVBAgMAkNBMQswCQYDVQQGEwJVUzAeFw0xODA1MjExMDUwMTBaFw0zMzA1MjExMDUwMTBaMHExIzAhBgNVBAMMGkludGVsIFNHWCBQQ0sgUHJvY2Vzc29yIENBMRowGAYDVQQKDBFJbnRl' +
  'bCBDb3Jwb3JhdGlvbjEUMBIGA1UEBwwLU2FudGEgQ2xhcmExCzAJBgNVBAgMAkNBMQswCQYDVQQGEwJVUzBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABL9q+NMp2IOgtdl1bk/uWZ5+TGQm8aCi8z78fs+fKCQ3' +
  'd+uDzXnVTAT2ZhDCifyIuJwvN3wNBp9iHBSSMJMJrBOjgbswgbgwHwYDVR0jBBgwFoAUImUM1lqdNInzg7SVUr9QGzknBqwwUgYDVR0fBEswSTBHoEWgQ4ZBaHR0cHM6Ly9jZXJ0aWZpY2F0ZXMudHJ1c3RlZHNl' +
  'cnZpY2VzLmludGVsLmNvbS9JbnRlbFNHWFJvb3RDQS5kZXIwHQYDVR0OBBYEFNDoqtp11/kuSReYPHsUZdDV8llNMA4GA1UdDwEB/wQEAwIBBjASBgNVHRMBAf8ECDAGAQH/AgEAMAoGCCqGSM49BAMCA0gAMEUC' +
  'IQCJgTbtVqOyZ1m3jqiAXM6QYa6r5sWS4y/G7y8uIJGxdwIgRqPvBSKzzQagBLQq5s5A70pdoiaRJ8z/0uDz4NgV91k='
)
