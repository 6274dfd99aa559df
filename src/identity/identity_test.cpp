#include <gtest/gtest.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

#include "base/file.h"
#include "base/hash.h"
#include "base/rng.h"
#include "identity/proposals.h"
#include "identity/traits.h"

namespace perennial::identity {
namespace {

using profile::Verdict;

struct Shop {
    TempDir directory;
    profile::Store store = std::move(profile::Store::open(directory.path())).value();
    int number = 0;

    event::Event event(event::Kind kind, const std::string& user, event::Channel channel = event::Channel::kWeb) {
        event::Event e;
        e.kind = kind;
        e.message_id = fmt::format("m{}", ++number);
        e.user_id = user;
        e.channel = channel;
        e.time = e.received = {1'600'000'000'000 + number * kMsPerHour};
        return e;
    }
    void take(event::Event e) { ASSERT_TRUE(event::validate(e).ok()); ASSERT_TRUE(store.append({std::move(e)}).ok()); }
    void decide(const char* a, const char* b, Verdict verdict) { take(profile::merge_event({a, b, verdict, {1'700'000'000'000 + ++number}, "{}"})); }
};

std::string hashed(std::string_view text) { return hex(hash128(text)); }

const Proposal* find(const Proposals& proposals, const char* a, const char* b) {
    const auto found = std::ranges::find_if(proposals.pending, [&](const Proposal& p) { return p.a == a && p.b == b; });
    return found == proposals.pending.end() ? nullptr : &*found;
}

TEST(IdentifierGraph, links_customers_of_one_address_and_reports_what_too_many_share) {
    Shop shop;
    const auto with_email = [&](const std::string& user, std::string_view email) {
        auto e = shop.event(event::Kind::kIdentify, user);
        e.email_hash = hashed(email);
        shop.take(e);
    };
    with_email("web1", "ann@x.com");
    with_email("store7", "ann@x.com");
    for (int i = 0; i < 500; ++i) with_email(fmt::format("guest{}", i), "desk@shop.com");
    with_email("p", "null");
    with_email("q", "null");
    // An order that nobody signed for, asked about by a customer.
    auto order = shop.event(event::Kind::kOrderCompleted, "", event::Channel::kStore);
    order.order_id = "R-9";
    order.product = "tea";
    shop.take(order);
    auto question = shop.event(event::Kind::kSupportOpened, "web1", event::Channel::kSupport);
    question.order_id = "R-9";
    shop.take(question);
    // Two people on a tablet.
    for (const char* user : {"x", "y"}) {
        auto sign_in = shop.event(event::Kind::kIdentify, user);
        sign_in.anonymous_id = "tablet";
        shop.take(sign_in);
    }
    auto graph = identifier_graph(shop.store, {});
    ASSERT_TRUE(graph.ok());
    ASSERT_EQ(graph->links.size(), 2u);
    EXPECT_EQ(graph->links[0].customers, (std::vector<profile::CustomerKey>{"u:store7", "u:web1"}));
    EXPECT_EQ(graph->links[1].kind, Identifier::kOrder);
    EXPECT_EQ(graph->links[1].customers, (std::vector<profile::CustomerKey>{"o:R-9", "u:web1"}));
    ASSERT_EQ(graph->super_nodes.size(), 3u);
    EXPECT_EQ(graph->super_nodes[0].customers_count, 500u);
    EXPECT_EQ(graph->super_nodes[0].kind, Identifier::kEmail);
    std::set<std::string> others{graph->super_nodes[1].value, graph->super_nodes[2].value};
    EXPECT_EQ(others, (std::set<std::string>{"tablet", hashed("null")}));

    auto proposals = propose(shop.store, {}, 1);
    ASSERT_TRUE(proposals.ok());
    EXPECT_EQ(proposals->pending.size(), 2u);
    EXPECT_NE(proposals->note.find("want at least"), std::string::npos);
    const auto* pair = find(*proposals, "u:store7", "u:web1");
    ASSERT_NE(pair, nullptr);
    EXPECT_EQ(pair->grounds.front().field, "email");

    // Nothing is applied without a rule; a rule names what it may apply.
    EXPECT_EQ(rule_for(*pair, {}), "");
    EXPECT_NE(rule_for(*pair, parse_settings("[apply]\nidentifiers = [\"email\"]\n", "t").value()), "");
    EXPECT_EQ(rule_for(*pair, parse_settings("[apply]\nidentifiers = [\"phone\"]\nprobability = 0.6\n", "t").value()), "");

    // Merged keys count as one customer; a pair that was rejected or undone does not come back.
    shop.decide("u:store7", "u:web1", Verdict::kMerged);
    EXPECT_EQ(propose(shop.store, {}, 1)->pending.size(), 1u);
    EXPECT_NE(find(*propose(shop.store, {}, 1), "o:R-9", "u:store7"), nullptr);
    shop.decide("u:store7", "u:web1", Verdict::kUndone);
    EXPECT_EQ(find(*propose(shop.store, {}, 1), "u:store7", "u:web1"), nullptr);
    EXPECT_EQ(propose(shop.store, {}, 1)->decided_before, 1u);
}

TEST(Propose, finds_people_who_described_themselves_twice_and_says_on_which_grounds) {
    Shop shop;
    Rng rng(3);
    const auto word = [&](std::size_t letters) {
        std::string text;
        for (std::size_t i = 0; i < letters; ++i) text += static_cast<char>('a' + rng.below(26));
        return text;
    };
    std::set<std::pair<std::string, std::string>> twice;
    for (int i = 0; i < 120; ++i) {
        const auto given = word(6), family = word(8), town = fmt::format("town{}", rng.below(12)), born = fmt::format("19{}-0{}-1{}", 50 + rng.below(50), 1 + rng.below(9), rng.below(10));
        auto e = shop.event(event::Kind::kIdentify, fmt::format("a{}", i));
        e.properties = fmt::format(R"({{"firstName":"{}","lastName":"{}","birthday":"{}","address":{{"city":"{}"}},"plan":"gold"}})", given, family, born, town);
        shop.take(e);
        if (i % 3 != 0) continue;
        auto again = shop.event(event::Kind::kIdentify, fmt::format("b{}", i), event::Channel::kStore);
        const auto typed = i % 6 == 0 ? family : family.substr(0, 5) + family.substr(6);
        again.properties = fmt::format(R"({{"first_name":"{}","last_name":"{}","dob":"{}","city":"{}"}})", given, typed, born, town);
        shop.take(again);
        twice.emplace(fmt::format("u:a{}", i), fmt::format("u:b{}", i));
    }
    auto proposals = propose(shop.store, {}, 2);
    ASSERT_TRUE(proposals.ok());
    EXPECT_EQ(proposals->note, "");
    EXPECT_EQ(proposals->described, 160u);
    std::set<std::pair<std::string, std::string>> found;
    for (const auto& p : proposals->pending) {
        found.emplace(p.a, p.b);
        EXPECT_GE(p.probability, 0.9);
        // The grounds add up to the log odds: every merge is explained to the last bit.
        double weight = 0;
        for (const auto& ground : p.grounds) weight += ground.weight;
        EXPECT_NEAR(1 / (1 + std::exp2(-weight)), p.probability, 1e-9);
    }
    EXPECT_EQ(found, twice);
    const auto read = parse_proposals(to_json(*proposals)).value();
    ASSERT_EQ(read.size(), proposals->pending.size());
    for (std::size_t i = 0; i < read.size(); ++i) {
        const auto &got = read[i], &want = proposals->pending[i];
        EXPECT_EQ(std::tie(got.id, got.a, got.b, got.identifiers), std::tie(want.id, want.a, want.b, want.identifiers));
        EXPECT_DOUBLE_EQ(got.probability, want.probability);  // reading a decimal may be a last bit off
        ASSERT_EQ(got.grounds.size(), want.grounds.size());
        for (std::size_t g = 0; g < got.grounds.size(); ++g) {
            EXPECT_EQ(std::tie(got.grounds[g].field, got.grounds[g].how), std::tie(want.grounds[g].field, want.grounds[g].how));
            EXPECT_DOUBLE_EQ(got.grounds[g].weight, want.grounds[g].weight);
        }
    }
    EXPECT_EQ(to_json(*propose(shop.store, {}, 1)), to_json(*proposals));  // threads do not show
    for (int town = 0; town < 12; ++town) EXPECT_EQ(to_json(*proposals).find(fmt::format("town{}", town)), std::string::npos) << "a personal value stands in the file";
}

TEST(Traits, are_the_newest_words_of_a_customer_and_rubbish_is_left_alone) {
    Traits traits;
    for (const char* json : {"[]", "{", "null", "{\"address\":{\"address\":{\"city\":\"deep\"}}}", "{\"firstName\":{\"a\":1},\"lastName\":null}"}) read_traits(json, traits);
    EXPECT_EQ(traits, Traits{});
    read_traits(R"({"Given Name":"Ann","zip":12345,"address":"1 High Street"})", traits);
    read_traits(R"({"firstName":" ","lastName":"Lee"})", traits);
    EXPECT_EQ(traits[0], "Ann");
    EXPECT_EQ(traits[1], "Lee");
    EXPECT_EQ(traits[4], "1 High Street");
    EXPECT_EQ(traits[6], "12345");
}

TEST(Settings, say_where_they_are_wrong) {
    const auto settings = parse_settings("[limits]\nemail = 3\ngroup = 10\n[propose]\nprobability = 0.8\n[apply]\nidentifiers = [\"email\", \"phone\"]\nprobability = 0.999\n", "t");
    ASSERT_TRUE(settings.ok());
    EXPECT_EQ(settings->customers_limit[0], 3u);
    EXPECT_EQ(settings->group_limit, 10u);
    EXPECT_EQ(settings->apply_identifiers, (std::vector<Identifier>{Identifier::kEmail, Identifier::kPhone}));
    EXPECT_EQ(settings->apply_probability, 0.999);
    for (const auto& [text, part] : {std::pair{"x = 1", "t:1: x: want [limits]"}, {"[limits]\nfax = 2", "t:2: limits.fax: want one of"}, {"[limits]\nemail = 0", "limits.email: want a whole number"},
                                     {"[limits]\nemail = \"3\"", "whole number"}, {"[propose]\nprobability = 1.0", "from 0.5 to below 1"}, {"[apply]\nidentifiers = [\"fax\"]", "of each one of"},
                                     {"[apply]\nidentifiers = \"email\"", "a list"}, {"[apply]\nalways = true", "identifiers or probability"}, {"[", "t"}}) {
        const auto wrong = parse_settings(text, "t");
        ASSERT_FALSE(wrong.ok()) << text;
        EXPECT_NE(wrong.error().message.find(part), std::string::npos) << wrong.error().message;
    }
    TempDir empty;
    EXPECT_FALSE(read_settings(empty.path())->apply_probability.has_value());
}

TEST(MayMerge, refuses_strangers_one_person_and_groups_above_the_limit) {
    Shop shop;
    for (const char* user : {"1", "2", "3", "4"}) shop.take(shop.event(event::Kind::kPage, user));
    Settings settings;
    settings.group_limit = 3;
    EXPECT_TRUE(may_merge(shop.store, settings, "u:1", "u:2").ok());
    shop.decide("u:1", "u:2", Verdict::kMerged);
    EXPECT_EQ(may_merge(shop.store, settings, "u:1", "u:2").error().code, Code::kInvalid);
    EXPECT_EQ(may_merge(shop.store, settings, "u:1", "u:9").error().code, Code::kNotFound);
    shop.decide("u:3", "u:4", Verdict::kMerged);
    EXPECT_EQ(may_merge(shop.store, settings, "u:1", "u:3").error().code, Code::kFull);
}

TEST(WouldRejoin, finds_pairs_taken_apart_that_come_together_by_way_of_others) {
    Shop shop;
    for (const char* user : {"1", "2", "3"}) shop.take(shop.event(event::Kind::kPage, user));
    shop.decide("u:1", "u:2", Verdict::kRejected);
    shop.decide("u:2", "u:3", Verdict::kMerged);
    const auto again = would_rejoin(shop.store, "u:1", "u:3").value();
    ASSERT_TRUE(again.has_value());
    EXPECT_EQ(again->b, "u:2");
    EXPECT_FALSE(would_rejoin(shop.store, "u:2", "u:3").value().has_value());
}

TEST(ParseProposals, refuses_what_is_none) {
    for (const char* text : {"", "[]", "{\"version\":1}", "{\"version\":1,\"proposals\":[{\"a\":\"u:2\",\"b\":\"u:1\"}]}", "{\"version\":1,\"proposals\":[1]}"})
        EXPECT_EQ(parse_proposals(text).error().code == Code::kCorrupt || parse_proposals(text).error().code == Code::kUnsupported, true) << text;
    EXPECT_EQ(parse_proposals("{\"version\":2,\"proposals\":[]}").error().code, Code::kUnsupported);
}

}  // namespace
}  // namespace perennial::identity
