# SPDX-License-Identifier: Apache-2.0
"""Pieces of policy that the tests put together. @DIR@ becomes the daemon's folder."""

import re

# A disk that is nearly full is no reason to fail, where that is not what is tested.
ANY_ROOM = "min_free_space = 0, min_free_inodes = 0"

INIT = f"""
kumo.on('init', function()
  kumo.define_spool {{ name = 'data', path = '@DIR@/spool', {ANY_ROOM} }}
  kumo.configure_local_logs {{ log_dir = '@DIR@/logs', {ANY_ROOM}, headers = {{ 'Subject' }}, meta = {{ 'tenant', 'authz_id' }} }}
  kumo.start_http_listener {{ listen = '127.0.0.1:0' }}
  kumo.start_esmtp_listener {{ listen = '127.0.0.1:0', hostname = 'mx.gatepost.test'%s }}
end)
"""

# One that counts logins, to stand before the HTTP listener.
ACCT = f"  kumo.aaa.configure_acct_log {{ log_dir = '@DIR@/acct', {ANY_ROOM} }}\n"


def without_floors(text: str) -> str:
    """A policy of the examples, on whatever disk."""
    return re.sub(r"(kumo\.(?:define_spool|configure_local_logs) \{)", rf"\1 {ANY_ROOM},", text)


STATIC_USERS = """
kumo.on('smtp_server_auth_plain', function(authz, authc, password, conn_meta)
  local password_database = { ['scott'] = 'tiger', ['mia'] = 'lion' }
  if password == '' then
    return false
  end
  return password_database[authc] == password
end)
"""

# Whoever is authenticated may relay, from any domain.
AUTHENTICATED_MAY_RELAY = """
kumo.on('get_listener_domain', function(domain, listener, conn_meta)
  if conn_meta:get_meta 'authz_id' then
    return kumo.make_listener_domain { relay_to = true }
  end
end)
"""

RELAY_FROM_LOOPBACK = ", relay_hosts = { '127.0.0.0/8' }"


def smart_host(port: int, address: str = "127.0.0.1", path: str = "", queue: str = "") -> str:
    """Everything goes to one server on loopback, in clear."""
    return f"""
kumo.on('get_queue_config', function(domain, tenant, campaign, routing_domain)
  return kumo.make_queue_config {{
    protocol = {{ smtp = {{ mx_list = {{ '[{address}]:{port}' }} }} }}, {queue}
  }}
end)
kumo.on('get_egress_path_config', function(domain, egress_source, site_name)
  return kumo.make_egress_path {{ enable_tls = 'Disabled', prohibited_hosts = {{}}, {path} }}
end)
"""


def policy(*parts: str, listener: str = "") -> str:
    if "relay_hosts" not in listener:  # the default lets loopback relay, and all tests come from there
        listener += ", relay_hosts = {}"
    return "local kumo = require 'kumo'\n" + INIT % listener + "\n".join(parts)


MESSAGE = (b"From: <scott@tiger.example>\r\nTo: <you@dest.example>\r\nSubject: hello\r\n"
           b"Date: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@tiger.example>\r\n\r\nbody\r\n")
