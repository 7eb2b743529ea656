"""TLS contexts of the files that options name."""

from __future__ import annotations

import ssl as tls

from sfu.serve.options import Options, blaming


def for_clients(options: Options) -> tls.SSLContext | None:
    """What this server shows to its clients, and whom it lets in; None without a certificate."""
    if options.cert is None:
        return None
    with blaming(f"--client-ca {options.client_ca}"):
        context = tls.create_default_context(tls.Purpose.CLIENT_AUTH, cafile=options.client_ca)
    if options.client_ca is not None:
        context.verify_mode = tls.CERT_REQUIRED
    _show(context, options)
    return context


def for_servers(options: Options) -> tls.SSLContext:
    """Whom this server trusts as a client of others, and what it shows there."""
    with blaming(f"--upstream-ca {options.upstream_ca}"):
        context = tls.create_default_context(cafile=options.upstream_ca)
    _show(context, options)
    return context


def _show(context: tls.SSLContext, options: Options) -> None:
    if options.cert is not None:
        with blaming(f"--cert {options.cert}, --key {options.key}"):
            context.load_cert_chain(options.cert, options.key, _no_passphrase)


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase, and there is nobody to enter it")
