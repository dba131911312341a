"""Pictures signed by C2PA (https://spec.c2pa.org), offline and with a key of one's own: extra ``provenance``.

A signature says who made a picture and with what, and that no bit of it has changed since. Whoever saves the picture
anew takes it away; and without a time stamp from somebody else it holds as long as its certificate does.
"""

import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from .. import __version__
from .provenance import GENERATED, Origin

CURE = "pip install 'collapselab[provenance]'"
QUIET = {"builder": {"thumbnail": {"enabled": False}}}  # a thumbnail of 90 kB in every picture, however small
LABEL = "org.collapselab.origin"
FILES = {"chain": "chain.pem", "key": "key.pem", "anchor": "root.pem"}


class Signer(NamedTuple):
    """Who signs. chain: PEM certificates, the signer's own first, then those that vouch for it. key: PEM, PKCS 8."""

    chain: bytes
    key: bytes


class Verdict(NamedTuple):
    """What a picture's signature comes to.

    state: Trusted, by an anchor of one's own; Valid, by nobody who is known; Invalid; or none, where there is none.
    findings: what is amiss, as C2PA calls it. origin: what the signer says of where the picture comes from.
    """

    state: str
    findings: tuple[str, ...] = ()
    origin: Mapping[str, Any] = {}


def signed(png: bytes, origin: Origin, signer: Signer) -> bytes:
    """A PNG file with a signed manifest: who made it by which kind of source, and its origin. Pixels are unchanged.

    Raises ValueError without the extra, and for a chain or a key by which nothing can be signed.
    """
    c2pa = _package("c2pa")
    action: dict[str, Any] = {"action": "c2pa.created" if origin.generated else "c2pa.opened"}
    action |= {"digitalSourceType": GENERATED} if origin.generated else {}
    manifest = {
        "claim_generator_info": [{"name": "collapselab", "version": __version__}],
        "title": "_".join(origin.told.values()) or "collapselab",
        "assertions": [
            {"label": "c2pa.actions", "data": {"actions": [action]}},
            {"label": LABEL, "data": origin.plain},
        ],
    }
    _check_chain(signer)
    try:
        # No time stamp: an empty address would fail with words that help nobody.
        info = c2pa.C2paSignerInfo(b"es256", signer.chain, signer.key, None)
        source, made = io.BytesIO(png), io.BytesIO()
        with (
            c2pa.Signer.from_info(info) as own,
            c2pa.Context.from_dict(QUIET) as context,
            c2pa.Builder(manifest, context) as builder,
        ):
            builder.sign(own, "image/png", source, made)
    except c2pa.C2paError as error:
        raise ValueError(f"chain, key: nothing is signed by them: {error}; {HELP}") from error
    return made.getvalue()


HELP = (
    "allowed are PEM files of an ES256 key (PKCS 8) and of a certificate with digitalSignature and emailProtection, "
    "then those that vouch for it; `collapselab certificate` makes some to try with"
)


def checked(png: bytes, anchors: bytes | None = None) -> Verdict:
    """What the signature of a PNG file comes to. anchors: PEM certificates that one trusts; None trusts nobody.

    Raises ValueError without the extra.
    """
    c2pa = _package("c2pa")
    said = {"verify": {"verify_trust": True}} | ({"trust": {"user_anchors": anchors.decode()}} if anchors else {})
    try:
        with c2pa.Context.from_dict(said) as context, c2pa.Reader("image/png", io.BytesIO(png), context=context) as one:
            state, content = one.get_validation_state(), json.loads(one.json())
    except c2pa.C2paError as error:
        if "ManifestNotFound" in f"{type(error).__name__} {error}":
            return Verdict("none")
        return Verdict("Invalid", (str(error),))
    manifest = content["manifests"][content["active_manifest"]]
    own = next((one["data"] for one in manifest.get("assertions", ()) if one["label"] == LABEL), {})
    failed = content.get("validation_results", {}).get("activeManifest", {}).get("failure", ())
    return Verdict(str(state), tuple(one["code"] for one in failed), own)


def certificates(organisation: str = "collapselab test", days: int = 365) -> dict[str, bytes]:
    """A key, its certificate and the root that vouches for it, to try with: PEM by the names of ``FILES``.

    The chain has the certificate first, then the root, which is also the anchor by which one trusts it. Nobody else
    does: to be trusted by others a certificate has to come from somebody whom they know. Raises ValueError without the
    extra.
    """
    _package("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    keys = {role: ec.generate_private_key(ec.SECP256R1()) for role in ("root", "leaf")}
    root = _certificate(x509, organisation, "root", keys["root"].public_key(), keys["root"], None, days)
    leaf = _certificate(x509, organisation, "signer", keys["leaf"].public_key(), keys["root"], root, days)
    pem = serialization.Encoding.PEM
    private = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {
        "chain": leaf.public_bytes(pem) + root.public_bytes(pem),
        "key": keys["leaf"].private_bytes(pem, *private),
        "anchor": root.public_bytes(pem),
    }


def _certificate(x509: Any, organisation: str, role: str, own: Any, issuing: Any, issuer: Any, days: int) -> Any:
    """A certificate of a public key; by itself where there is no issuer, and then one that may vouch for others."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    names = [(NameOID.ORGANIZATION_NAME, organisation), (NameOID.COMMON_NAME, f"{organisation} {role}")]
    subject, now = x509.Name([x509.NameAttribute(*one) for one in names]), datetime.now(UTC)
    uses = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
    )
    uses |= dict.fromkeys(("key_cert_sign", "crl_sign"), issuer is None) | {"encipher_only": False}
    uses |= {"digital_signature": issuer is not None, "decipher_only": False}
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(own)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**uses), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuing.public_key()), critical=False)
    )
    if issuer:
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(usage, critical=False)
    return builder.sign(issuing, hashes.SHA256())


def _check_chain(signer: Signer) -> None:
    """Raise ValueError for a certificate that nobody but itself vouches for, which C2PA refuses with no such words."""
    _package("cryptography")
    from cryptography import x509

    try:
        own = x509.load_pem_x509_certificates(signer.chain)[0]
    except (ValueError, IndexError) as error:
        raise ValueError(f"chain: found no PEM certificates ({error}); {HELP}") from None
    if own.issuer == own.subject:
        raise ValueError(f"chain: found a self-signed certificate first, which C2PA refuses to sign with; {HELP}")


def read_signer(chain: Path, key: Path) -> Signer:
    """The signer whose PEM files these are. Raises ValueError for files that cannot be read."""
    try:
        return Signer(chain.read_bytes(), key.read_bytes())
    except OSError as error:
        raise ValueError(f"chain, key: cannot be read: {error}; {HELP}") from None


def read_anchors(path: Path) -> bytes:
    """The PEM certificates of a file. Raises ValueError for a file that cannot be read, or holds none."""
    _package("cryptography")
    from cryptography import x509

    try:
        content = path.read_bytes()
        x509.load_pem_x509_certificates(content)
    except (OSError, ValueError) as error:
        raise ValueError(f"anchors: found no PEM certificates in {path} ({error}); allowed is a file of them") from None
    return content


def _package(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        package = {"c2pa": "c2pa-python"}.get(name, name)
        raise ValueError(f"signatures need the package {package}: {CURE}") from None
