import ssl

import httpx

from tasks.platform.certificates import trusted


def test_certificates_are_read_once_and_every_server_must_have_one():
    assert trusted() is trusted()
    assert trusted().verify_mode == ssl.CERT_REQUIRED
    assert trusted().check_hostname
    assert trusted().get_ca_certs() == httpx.create_ssl_context().get_ca_certs()
