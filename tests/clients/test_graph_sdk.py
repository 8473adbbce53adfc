"""The Graph SDK for Python, unchanged: a careful reader and a careless writer."""

import asyncio
import pathlib
import subprocess
import sys
import tempfile

import httpx
from azure.identity import ClientSecretCredential
from kiota_abstractions.api_error import APIError
from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.applications.item.application_item_request_builder import ApplicationItemRequestBuilder
from msgraph.generated.models.application import Application
from msgraph.generated.models.key_credential import KeyCredential
from msgraph_core import GraphClientFactory

import world


def graph():
    credential = ClientSecretCredential(
        world.TENANT,
        world.OPERATOR,
        world.SECRET,
        authority=world.BASE,
        disable_instance_discovery=True,
        connection_verify=world.CA,
    )
    provider = AzureIdentityAuthenticationProvider(credential, scopes=[world.SCOPE], allowed_hosts=["localhost"])
    http = GraphClientFactory.create_with_default_middleware(
        client=httpx.AsyncClient(verify=world.CA, trust_env=False), host=world.BASE
    )
    adapter = GraphRequestAdapter(provider, client=http)
    adapter.base_url = world.BASE + "/v1.0"
    return GraphServiceClient(request_adapter=adapter)


def foreign(object_id):
    """An entry whose dates the service has set, with seven fractional digits."""
    change = {"change": "add_foreign_credential", "object": object_id, "display_name": "legacy"}
    world.door("POST", "change?tenant=" + world.TENANT, change)


def test_what_was_published_is_read():
    identity = world.Identity("sdk")
    object_id, _ = world.application("read by the sdk", identity.entry("published"))

    async def read():
        query = ApplicationItemRequestBuilder.ApplicationItemRequestBuilderGetQueryParameters(
            select=["id", "keyCredentials"]
        )
        config = ApplicationItemRequestBuilder.ApplicationItemRequestBuilderGetRequestConfiguration(
            query_parameters=query
        )
        return await graph().applications.by_application_id(object_id).get(request_configuration=config)

    credential = asyncio.run(read()).key_credentials[0]
    assert credential.display_name == "published"
    assert credential.key == identity.der
    assert credential.custom_key_identifier == bytes.fromhex(identity.sha1)


def test_a_list_is_read_page_by_page():
    world.settings(page_size_max=2)
    try:
        for index in range(5):
            world.application(f"page {index}")

        async def read():
            service = graph()
            page = await service.applications.get()
            names = [application.display_name for application in page.value]
            while page.odata_next_link:
                page = await service.applications.with_url(page.odata_next_link).get()
                names += [application.display_name for application in page.value]
            return names

        names = asyncio.run(read())
        assert len([name for name in names if name.startswith("page ")]) == 5, names
    finally:
        world.settings()


async def _write_back(object_id):
    """Reads the credentials and sends the typed objects back, as careless programs do."""
    service = graph()
    read = await service.applications.by_application_id(object_id).get()
    body = Application()
    body.key_credentials = read.key_credentials
    return await service.applications.by_application_id(object_id).patch(body)


def test_the_careless_write_is_refused_in_strict_mode():
    object_id, _ = world.application("careless, strict")
    foreign(object_id)
    try:
        asyncio.run(_write_back(object_id))
    except APIError as error:
        assert error.response_status_code == 400, error
        assert error.error.code == "Request_BadRequest" and "is not allowed" in error.error.message, error
    else:
        raise AssertionError("accepted an entry that differs from the one that was read")


def test_the_careless_write_is_accepted_in_lenient_mode():
    object_id, _ = world.application("careless, lenient")
    foreign(object_id)
    world.settings(accept_retyped_entries=True)
    try:
        asyncio.run(_write_back(object_id))
    finally:
        world.settings()


def test_a_new_certificate_is_added():
    identity = world.Identity("added")
    object_id, _ = world.application("added by the sdk")

    async def add():
        entry = identity.entry("added")
        credential = KeyCredential()
        credential.type, credential.usage, credential.display_name = entry["type"], entry["usage"], "added"
        # Bytes it is given, it encodes.
        credential.key = identity.der
        credential.start_date_time, credential.end_date_time = identity.start, identity.end
        body = Application()
        body.key_credentials = [credential]
        await graph().applications.by_application_id(object_id).patch(body)
        return await graph().applications.by_application_id(object_id).get()

    assert asyncio.run(add()).key_credentials[0].display_name == "added"


def test_a_missing_application_has_its_code():
    async def read():
        await graph().applications.by_application_id("11111111-2222-4333-8444-555555555555").get()

    try:
        asyncio.run(read())
    except APIError as error:
        assert error.error.code == "Request_ResourceNotFound", error
    else:
        raise AssertionError("found an application that is not there")


def test_a_key_on_disk_signs_in_everywhere_and_is_found():
    identity = world.Identity("on disk")
    _, client_id = world.application("on disk", identity.entry("from a file"))
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(identity.key_pem + identity.pem)
        file.flush()
        script = pathlib.Path(__file__).with_name("with_key.py")
        done = subprocess.run([sys.executable, script, client_id, file.name], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "from a file\n", done
