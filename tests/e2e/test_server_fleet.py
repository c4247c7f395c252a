# SPDX-License-Identifier: Apache-2.0
"""The server and the makers' collateral: asked for on demand and on schedule, sources that are down, slow, behind or lying; what the fleet becomes of it."""
import datetime
import json
import threading
import time

import pytest

from cli_of import Cli
from cloched import Cloched
from collateral_server import Answer, not_found
from exchange_agent import Agent, Approver, Build, Platform, spki_sha256
from fleet_source import EVALUATIONS, ITEMS, Source
from test_server_exchange import new_app, roots

WAIT_S = 100


def until(what, wait_s=WAIT_S):
    """The first true value of what()."""
    end = time.monotonic() + wait_s
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError('it does not come')


class World:
    """A platform, its maker's service, and a server that asks it each second."""

    def __init__(self, folder, **options):
        self.platform = Platform(folder / 'pki')
        self.source = Source(str(folder), self.platform)
        self.server = Cloched(**{**self.source.options, 'collateral_refresh_s': 1, **options})
        self.owner = self.server.owner
        self.approver = Approver(self.owner)
        self.pin = spki_sha256(roots(self.server)[0])

    def close(self):
        self.server.close()
        self.source.stop()
        self.platform.close()

    def agent(self, **settings):
        name, build = new_app(self.owner, self.approver, **settings)
        agent = Agent(self.server.client(), self.platform, build, self.pin)
        agent.app = name
        return agent

    @property
    def collateral(self):
        return self.owner.get('/v1/fleet').body['collateral']

    def rounds(self, count=1):
        """Waits until what the source says now was asked for: one round may be under way."""
        for _ in range(count):
            last = self.collateral['last']
            until(lambda: self.collateral['last'] != last)

    def metric(self, name):
        text = self.owner.raw('GET', '/metrics').text
        return [float(line.split()[1]) for line in text.splitlines() if line.split()[0] == 'cloche_' + name]

    def log(self, message):
        return [line for line in map(json.loads, self.server.log().splitlines()) if line['message'] == message]

    def shown(self, agent):
        return self.owner.get('/v1/instances/' + agent.id).body


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp('fleet'))
    yield world
    world.close()


@pytest.fixture
def own(tmp_path):
    """One whose source may be broken."""
    world = World(tmp_path)
    yield world
    world.close()


def test_collateral_of_a_new_platform_is_fetched_on_demand(world):
    agent = world.agent()
    agent.attest(flags='-')  # nothing is stapled
    assert world.shown(agent)['tcb_status'] == 'UpToDate'
    assert world.source.asked('/tcb?') and world.source.asked('/qe/identity') and world.source.asked('pckcrl') and world.source.asked('RootCA')
    until(lambda: world.collateral['items'] == ITEMS)
    world.rounds(2)
    state = world.collateral
    assert state['failed'] == state['unusable'] == state['lied'] == 0 and state['why'] is None, state
    assert world.metric('collateral_items') == [ITEMS] and len(world.metric('collateral_age_seconds')) == 1
    assert world.metric('collateral_expires_seconds')[0] > 86400


def test_stapled_collateral_does_until_the_server_has_its_own(own):
    """Whoever runs the platform may staple what is a month old: the server asks for itself, soon."""
    agent = own.agent()
    agent.attest()
    until(lambda: own.collateral['items'] == ITEMS)
    own.platform.pki('tcb', '--status', 'OutOfDate')  # what is stapled from now on says so, what the source says does not
    agent.attest('renew')
    assert own.shown(agent)['tcb_status'] == 'UpToDate'


def test_new_tcb_info_makes_instances_fall_and_a_patch_brings_them_back(world):
    agent = world.agent()
    agent.attest(flags='-')
    events = world.owner.events(kind='instance.fallen')
    world.platform.pki('tcb', '--status', 'OutOfDate', '--advisory', 'INTEL-SA-00615')
    world.source.publish()
    orders = agent.orders(wait_s=55)
    assert [o['kind'] for o in orders] == ['renew'] and 'TCB' in orders[0]['reason'], orders
    kind, event = next(e for e in events if e[1]['object'] == agent.id)
    events.close()
    assert kind == 'instance.fallen' and 'TCB' in event['data']['reason']
    assert world.shown(agent)['tcb_status'] == 'OutOfDate'
    body = agent.body('renew', flags='-')
    refused = agent.refused(agent.send(body), body['nonce'])
    assert 'TCB' in refused['refused']['step'] and refused['final'] is False
    world.platform.pki('issue-pck', '--latest')  # the platform was updated
    agent.attest('renew', flags='-')
    shown = world.shown(agent)
    assert shown['tcb_status'] == 'UpToDate' and shown['state'] == 'running'
    fleet = world.owner.get('/v1/fleet').body
    assert fleet['collateral']['refreshed'] >= 1, fleet


def test_a_better_status_is_noticed_too(own):
    with open(own.platform.folder + '/policy.json', encoding='utf-8') as f:
        policy = {**json.load(f), 'intel': {'tcb_status': ['UpToDate', 'SWHardeningNeeded']}}
    own.platform.pki('tcb', '--status', 'SWHardeningNeeded', '--advisory', 'INTEL-SA-00615')
    own.source.publish()
    agent = own.agent()
    created = own.owner.post('/v1/policies', {'name': 'lenient', 'policy': policy})
    assert created.status == 201, created
    assert own.owner.patch('/v1/policies/lenient', {'version': 1}).status == 200
    assert own.owner.patch('/v1/apps/' + agent.app, {'policy': 'lenient'}).status == 200
    agent.attest(flags='-')
    assert own.shown(agent)['tcb_status'] == 'SWHardeningNeeded'
    own.platform.pki('tcb', '--status', 'UpToDate', '--no-advisories')
    own.source.publish()
    until(lambda: own.shown(agent)['tcb_status'] == 'UpToDate')
    assert own.shown(agent)['state'] == 'running' and agent.orders() == []


def test_a_source_that_lies_or_is_behind_takes_nothing_away(own):
    agent = own.agent()
    agent.attest(flags='-')
    old = own.source.answer('tcb_info.json')
    own.platform.pki('tcb', '--evaluation', '40')
    own.source.publish()
    until(lambda: own.collateral['refreshed'] >= 1)
    good = own.source.answer('tcb_info.json')
    lies = {'signature': Answer(good.body.replace(b'Number":40', b'Number":41'), 'application/json', TCB_Info_Issuer_Chain=good.headers['TCB-Info-Issuer-Chain']),
            'older than what is held': old}
    for why, lie in lies.items():
        lied = own.collateral['lied']
        own.source.service.serve(own.source.tcb_path(), lie)
        until(lambda lied=lied: own.collateral['lied'] > lied)
        state = own.collateral
        assert state['failed'] == 1 and why in state['why'] and state['items'] == ITEMS and state['unusable'] == 0, state
        agent.attest('renew', flags='-')
        assert own.shown(agent)['tcb_status'] == 'UpToDate'
    logged = own.log('collateral is not fresh: what is held stays')
    assert {line['level'] for line in logged} == {'error'} and all(line['reason'] == 'it does not verify' for line in logged)
    assert own.metric('collateral_lies_total')[0] >= 2
    own.source.publish()
    until(lambda: own.collateral['failed'] == 0)
    assert own.owner.get('/v1/fleet').body['reappraisal']['fallen'] == 0


def test_a_source_that_is_slow_or_down_holds_nobody_up(own):
    first = own.agent()
    first.attest(flags='-')
    slow = own.source.answer('tcb_info.json')
    slow.headers.pop('ETag')  # it is given, not "unchanged"
    slow.delay, slow.arrived = threading.Event(), threading.Event()
    own.source.service.serve(own.source.tcb_path(), slow)
    assert slow.arrived.wait(WAIT_S)  # a round hangs in it
    second = own.agent()
    second.attest(flags='-')
    first.attest('renew', flags='-')
    slow.delay.set()
    own.source.stop()
    until(lambda: own.collateral['failed'] >= 1)
    first.attest('renew', flags='-')
    state = own.collateral
    assert state['why'] and state['items'] == ITEMS and state['unusable'] == 0, state
    age = own.metric('collateral_age_seconds')[0]
    until(lambda: own.metric('collateral_age_seconds')[0] > age)  # nothing confirms it any more
    assert own.metric('collateral_refresh_failed')[0] >= 1
    assert own.log('collateral is not fresh: what is held stays')[0]['level'] == 'warning'
    assert own.server.stop() == 0  # though the source hangs or fails


def test_collateral_that_is_not_to_be_had_is_refused_with_the_reason(own):
    own.source.service.serve(own.source.tcb_path(), not_found())
    agent = own.agent()
    body = agent.body(flags='-')
    answer = agent.send(body)
    refused = agent.refused(answer, body['nonce'])
    fmspc = own.source.state['platform']['fmspc'].lower()
    assert refused['refused']['step'] == 'COLLATERAL_MISSING' and not refused['final']
    assert f'sgx-tcb-{fmspc}' in answer.body['detail'] and '404' in answer.body['detail'], answer
    assert 'collateral_pcs_url' in answer.body['fix'] and 'import' in answer.body['fix']
    asked = len(own.source.asked('/tcb?'))
    assert agent.refused(agent.send(agent.body(flags='-')))['refused']['step'] == 'COLLATERAL_MISSING'
    assert len(own.source.asked('/tcb?')) == asked  # that it is not there is remembered for a while


def test_a_server_that_may_not_ask_says_what_is_missing(tmp_path):
    own = World(tmp_path, collateral_pcs_url='')
    try:
        agent = own.agent()
        answer = agent.send(agent.body(flags='-'))
        assert agent.refused(answer)['refused']['step'] == 'COLLATERAL_MISSING'
        assert 'is not in the cache' in answer.body['detail'] or 'cloche collateral fetch' in answer.body['detail'], answer
        assert own.source.asked() == []
        agent.attest()  # stapled
        assert own.source.asked() == []
    finally:
        own.close()


DAY_S = 86400


def rfc(time_s):
    return datetime.datetime.fromtimestamp(time_s, datetime.timezone.utc).strftime('%Y-%m-%dT%H:%M:%S')


def recoveries(world, **query):
    return world.owner.list('/v1/fleet/forecast', cause='tcb-recovery', **query)


def test_early_tcb_info_foretells_who_falls_and_when(own, tmp_path):
    """Intel publishes early what becomes the standard a year after a TCB recovery: who falls then is told now, and goes on until then."""
    agent, other = own.agent(), own.agent()
    agent.attest(flags='-')
    other.attest(flags='-')
    until(lambda: own.collateral['items'] == ITEMS)
    assert own.collateral['early'] == 2 and recoveries(own) == []
    number = own.source.state['tcbInfo']['tcbEvaluationDataNumber']
    recovery = int(time.time()) - 10 * DAY_S
    events = own.owner.events(kind='app.forecast')
    own.platform.pki('early', '--status', 'OutOfDate', '--advisory', 'INTEL-SA-00615', '--recovery', rfc(recovery) + 'Z')
    own.source.publish()
    items = until(lambda: len(recoveries(own)) == 2 and recoveries(own))
    assert {i['instance'] for i in items} == {agent.id, other.id}
    for item in items:
        assert item['until'].startswith(rfc(recovery + 365 * DAY_S)) and item['cause'] == 'tcb-recovery', item
        assert item['recovery'] == {'number': number + 1, 'tcb_status': 'OutOfDate', 'published': True}
        assert item['tcb_status'] == 'UpToDate' and 'INTEL-SA-00615' in item['reason'] and 'POLICY_TCB_STATUS' in item['reason']
    kind, event = next(iter(events))
    events.close()
    assert kind == 'app.forecast' and event['data']['number'] == number + 1 and event['data']['until'].startswith(rfc(recovery + 365 * DAY_S))
    # Nothing happens yet.
    agent.attest('renew', flags='-')
    assert agent.orders() == [] and own.shown(agent)['tcb_status'] == 'UpToDate'
    assert recoveries(own, until=rfc(recovery + 364 * DAY_S) + 'Z') == []
    again = until(lambda: len(own.owner.list('/v1/fleet/forecast', limit=1)) == 4 and own.owner.list('/v1/fleet/forecast', limit=1))
    assert sorted(i['cause'] for i in again) == ['evidence'] * 2 + ['tcb-recovery'] * 2
    assert own.owner.get('/v1/fleet/forecast', query={'cause': 'x'}).status == 400
    cli = Cli(tmp_path, own.server)
    text = cli.run('instance', 'forecast', '--patches')
    assert agent.id in text and other.id in text and '1 node needs a patch' in text and rfc(recovery + 365 * DAY_S) in text
    assert len(cli.json('instance', 'forecast')) == 4
    # An instance of the same kind that comes later is in it, too; one whose platform was patched is not any more.
    late = Agent(own.server.client(), own.platform, agent.build, own.pin)
    late.attest(flags='-')
    until(lambda: late.id in {i['instance'] for i in recoveries(own)})
    own.platform.pki('issue-pck', '--latest')
    late.attest('renew', flags='-')
    until(lambda: {i['instance'] for i in recoveries(own)} == {agent.id, other.id})
    # The day has come.
    own.platform.pki('early-end')
    own.source.publish()
    assert [o['kind'] for o in agent.orders(wait_s=55)] == ['renew']
    assert own.shown(agent)['tcb_status'] == 'OutOfDate' and own.shown(late)['tcb_status'] == 'UpToDate'
    until(lambda: recoveries(own) == [])
    agent.attest('renew', flags='-')  # patched meanwhile
    assert late.orders() == []


def test_early_tcb_info_without_a_date(own):
    """A source that does not tell dates: it cannot be before the present TCB info ends. A policy that accepts it is not worried."""
    own.source.service.serve(EVALUATIONS, not_found())
    agent, calm = own.agent(), own.agent()
    with open(own.platform.folder + '/policy.json', encoding='utf-8') as f:
        policy = {**json.load(f), 'intel': {'tcb_status': ['UpToDate', 'OutOfDate']}}
    assert own.owner.post('/v1/policies', {'name': 'calm', 'policy': policy}).status == 201
    assert own.owner.patch('/v1/policies/calm', {'version': 1}).status == 200
    assert own.owner.patch('/v1/apps/' + calm.app, {'policy': 'calm'}).status == 200
    agent.attest(flags='-')
    calm.attest(flags='-')
    own.platform.pki('early', '--status', 'OutOfDate')
    own.source.publish()
    own.source.service.serve(EVALUATIONS, not_found())
    items = until(lambda: recoveries(own))
    next_update = own.source.state['dates']['tcb-info']['next']
    assert [i['instance'] for i in items] == [agent.id], items
    assert items[0]['recovery']['published'] is False and items[0]['until'][:19] == next_update[:19]
    assert own.collateral['failed'] == 0 and own.collateral['why'] is None  # that a source has no dates is no failure


def test_forged_and_replayed_evidence_does_not_make_the_server_ask(own, tmp_path):
    agent = own.agent()
    other = Platform(tmp_path / 'other')
    try:
        forged = Agent(own.server.client(), other, agent.build, own.pin)
        assert forged.refused(forged.send(forged.body(flags='-')))['refused']['step'] == 'UNTRUSTED_ROOT'
        body = agent.body(flags='-')
        body['nonce'] = agent.nonce()  # evidence about another exchange
        agent.refused(agent.send(body))
        assert own.source.asked() == []
        assert own.owner.list('/v1/instances') == []  # anyone can send these: they are not on record
    finally:
        other.close()
