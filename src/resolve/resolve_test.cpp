#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include <fmt/format.h>

#include "base/rng.h"
#include "resolve/resolution.h"
#include "resolve/synthetic.h"
#include "resolve/text_distance.h"

namespace perennial::resolve {
namespace {

TEST(TextDistance, agrees_with_the_values_of_the_literature) {
    struct Case { const char *a, *b; double jaro, winkler; };
    // Winkler 1990 and 2006, tables of examples.
    for (const auto& c : {Case{"martha", "marhta", 0.9444, 0.9611}, Case{"dixon", "dicksonx", 0.7667, 0.8133}, Case{"dwayne", "duane", 0.8222, 0.8400},
                          Case{"crate", "trace", 0.7333, 0.7333}, Case{"jones", "johnson", 0.7905, 0.8324}, Case{"abroms", "abrams", 0.8889, 0.9222},
                          Case{"", "", 1, 1}, Case{"a", "", 0, 0}, Case{"abc", "xyz", 0, 0}}) {
        EXPECT_NEAR(jaro(c.a, c.b), c.jaro, 5e-5) << c.a;
        EXPECT_NEAR(jaro_winkler(c.a, c.b), c.winkler, 5e-5) << c.a;
    }
    EXPECT_EQ(levenshtein("kitten", "sitting"), 3u);
    EXPECT_EQ(levenshtein("ab", "ba"), 2u);
    EXPECT_EQ(damerau("ab", "ba"), 1u);
    EXPECT_EQ(damerau("ca", "abc"), 3u);  // optimal string alignment; unrestricted it would be 2
    EXPECT_EQ(levenshtein("müller", "muller"), 1u);  // letters, not bytes
    EXPECT_EQ(levenshtein("王小明", "王小民"), 1u);
    for (const auto& [name, code] : {std::pair{"Robert", "r163"}, {"Rupert", "r163"}, {"Ashcraft", "a261"}, {"Tymczak", "t522"}, {"Pfister", "p236"}, {"Honeyman", "h555"}, {"", ""}, {"王", ""}})
        EXPECT_EQ(soundex(name), code) << name;
}

std::string random_word(Rng& rng, std::size_t longest, std::uint64_t letters) {
    std::string word(static_cast<std::size_t>(rng.below(longest + 1)), 'a');
    for (auto& c : word) c = static_cast<char>('a' + rng.below(letters));
    return word;
}

TEST(TextDistance, is_symmetric_bounded_and_a_metric_where_it_should_be) {
    Rng rng(1);
    for (int i = 0; i < 20'000; ++i) {
        const auto a = random_word(rng, 9, 3), b = random_word(rng, 9, 3), c = random_word(rng, 9, 3);
        ASSERT_DOUBLE_EQ(jaro(a, b), jaro(b, a)) << a << " " << b;
        ASSERT_GE(jaro_winkler(a, b), jaro(a, b));
        ASSERT_LE(jaro_winkler(a, b), 1.0);
        ASSERT_EQ(jaro(a, b) == 1.0, a == b) << a << " " << b;
        ASSERT_LE(levenshtein(a, c), levenshtein(a, b) + levenshtein(b, c));
        ASSERT_LE(damerau(a, b), levenshtein(a, b));
        ASSERT_EQ(damerau(a, b), damerau(b, a));
        for (const std::size_t limit : {0u, 1u, 2u, 3u}) ASSERT_EQ(damerau_within(a, b, limit), std::min(damerau(a, b), limit + 1)) << a << " " << b << " " << limit;
    }
    const std::string endless(5000, 'x');
    EXPECT_EQ(jaro(endless, endless), 1.0);
}

TEST(Records, values_are_cleaned_and_columns_guessed_by_name) {
    EXPECT_EQ(cleaned(FieldKind::kGivenName, "  Anna  MARIA "), "anna maria");
    EXPECT_EQ(cleaned(FieldKind::kPhone, "+44 (0)20 7946-0958"), "079460958");
    EXPECT_EQ(cleaned(FieldKind::kPhone, "020 7946 0958"), "079460958");
    for (const char* date : {"1999-02-19", "19990219", "19/02/1999", "1999-02-19T10:00:00Z"}) EXPECT_EQ(cleaned(FieldKind::kDate, date), "19990219") << date;
    for (const char* nothing : {"", " ", "NULL", "n/a", "-", "None"}) EXPECT_EQ(cleaned(FieldKind::kText, nothing), "") << nothing;
    EXPECT_EQ(guess_field_kind("date_of_birth"), FieldKind::kDate);
    EXPECT_EQ(guess_field_kind(" given_name"), FieldKind::kGivenName);
    EXPECT_EQ(guess_field_kind("E-Mail"), FieldKind::kEmail);
    EXPECT_EQ(guess_field_kind("cluster"), std::nullopt);
    EXPECT_EQ(guess_field_kind("unique_id"), std::nullopt);
    EXPECT_EQ(Records::over({}).error().code, Code::kInvalid);
    EXPECT_EQ(Records::over(std::vector<Field>(kFieldsLimit + 1)).error().code, Code::kFull);
    auto records = Records::over({{"x", FieldKind::kText}});
    EXPECT_EQ(records->add(std::array<std::string_view, 2>{"a", "b"}).error().code, Code::kInvalid);
    const std::string endless(kValueBytesLimit + 1, 'x');
    EXPECT_EQ(records->add(std::array<std::string_view, 1>{endless}).error().code, Code::kInvalid);
    EXPECT_EQ(records->size(), 0u);
}

TEST(Comparator, sees_names_that_were_swapped_and_says_nothing_of_missing_values) {
    auto records = Records::over({{"given", FieldKind::kGivenName}, {"family", FieldKind::kFamilyName}, {"dob", FieldKind::kDate}});
    using Row = std::array<std::string_view, 3>;
    for (const Row& row : {Row{"Noah", "Watson", "2008-03-23"}, Row{"Watson", "Noah", "2008-03-32"}, Row{"", "Noah", ""}, Row{"Ann", "Brown", "2008-12-01"}})
        ASSERT_TRUE(records->add(row).ok());
    const Comparator comparator(*records);
    ASSERT_EQ(comparator.features(), 4u);
    const auto swapped = comparator.compare(0, 1);
    EXPECT_TRUE(Comparator::crossed(swapped));
    EXPECT_EQ(comparator.level(swapped, 0), comparator.equal_level(0));
    EXPECT_EQ(comparator.level(swapped, 1), comparator.equal_level(1));
    EXPECT_EQ(comparator.level_name(2, comparator.level(swapped, 2)), "one digit or the day and month swapped");
    const auto half = comparator.compare(0, 2);
    EXPECT_TRUE(Comparator::crossed(half));
    EXPECT_EQ(comparator.level(half, 0), comparator.equal_level(0));
    EXPECT_EQ(comparator.level(half, 1), 0u);
    EXPECT_EQ(comparator.level(half, 2), 0u);
    EXPECT_FALSE(Comparator::crossed(comparator.compare(0, 3)));
}

Records small_world(Rng& rng, std::size_t count, bool two_files) {
    auto records = Records::over({{"given", FieldKind::kGivenName}, {"family", FieldKind::kFamilyName}, {"town", FieldKind::kText}, {"code", FieldKind::kCode}});
    for (std::size_t i = 0; i < count; ++i) {
        const std::array<std::string, 4> row{random_word(rng, 2, 3), random_word(rng, 2, 3), random_word(rng, 1, 4), random_word(rng, 3, 3)};
        std::array<std::string_view, 4> views;
        std::ranges::copy(row, views.begin());
        EXPECT_TRUE(records->add(views, two_files && i % 3 == 0 ? 1 : 0).ok());
    }
    return std::move(*records);
}

TEST(Blocking, names_the_pairs_that_brute_force_finds_each_once_and_reports_what_it_refuses) {
    const std::vector<BlockingRule> rules{{{{3}}}, {{{0}, {1}}, true}, {{{2}, {0, Part::kSound}}}};
    const auto key = [](const Records& records, std::uint32_t record, std::size_t rule) -> std::string {
        const auto text = [&](std::size_t f) { return std::string(records.text_of(record, f)); };
        if (rule == 0) return text(3);
        if (rule == 1) return text(0).empty() || text(1).empty() ? "" : std::min(text(0), text(1)) + "," + std::max(text(0), text(1));
        return text(2).empty() || text(0).empty() ? "" : text(2) + "," + soundex(text(0));
    };
    for (const bool two_files : {false, true})
        for (const std::size_t limit : {5u, 25u, 1000u}) {
            Rng rng(7 + limit);
            const auto records = small_world(rng, 400, two_files);
            const Comparator comparator(records);
            auto blocking = Blocking::over(comparator, rules, {.block_records_limit = limit, .all_pairs_limit = 0}, 3);
            ASSERT_TRUE(blocking.ok());
            std::set<std::pair<std::uint32_t, std::uint32_t>> want;
            std::size_t refused = 0;
            for (std::size_t rule = 0; rule < 3; ++rule) {
                std::map<std::string, std::vector<std::uint32_t>> blocks;
                for (std::uint32_t i = 0; i < records.size(); ++i)
                    if (const auto k = key(records, i, rule); !k.empty()) blocks[k].push_back(i);
                for (const auto& [k, members] : blocks) {
                    if (members.size() > limit) { ++refused; continue; }
                    for (const auto a : members)
                        for (const auto b : members)
                            if (a < b && (!two_files || records.file(a) != records.file(b))) want.emplace(a, b);
                }
            }
            auto pairs = blocking->compare_all(comparator, 3);
            ASSERT_TRUE(pairs.ok());
            std::set<std::pair<std::uint32_t, std::uint32_t>> got;
            for (const auto& pair : *pairs) {
                EXPECT_TRUE(got.emplace(pair.a, pair.b).second) << "twice";
                EXPECT_EQ(pair.pattern, comparator.compare(pair.a, pair.b));
            }
            EXPECT_EQ(got, want);
            EXPECT_EQ(blocking->refused_blocks(), refused);
            EXPECT_EQ(refused > 0, limit < 1000);
            EXPECT_EQ(*Blocking::over(comparator, rules, {.block_records_limit = limit, .all_pairs_limit = 0}, 1)->compare_all(comparator, 1), *pairs);
        }
}

TEST(Blocking, refuses_more_pairs_than_its_limit_and_tables_without_a_rule) {
    Rng rng(3);
    const auto records = small_world(rng, 300, false);
    const Comparator comparator(records);
    EXPECT_EQ(Blocking::over(comparator, {}, {.all_pairs_limit = 0}, 1).error().code, Code::kInvalid);
    auto blocking = Blocking::over(comparator, {{{{2}}}}, {.all_pairs_limit = 0, .pairs_limit = 100}, 2);
    ASSERT_TRUE(blocking.ok());
    EXPECT_EQ(blocking->compare_all(comparator, 2).error().code, Code::kFull);
    auto all = Blocking::over(comparator, {}, {}, 1);
    EXPECT_EQ(all->compare_all(comparator, 2)->size(), 300u * 299 / 2);
}

TEST(FellegiSunter, em_finds_planted_parameters_again) {
    auto records = Records::over({{"a", FieldKind::kCode}, {"b", FieldKind::kDate}, {"c", FieldKind::kText}, {"d", FieldKind::kCategory}, {"e", FieldKind::kEmail}});
    const Comparator comparator(*records);
    MatchModel planted = first_guess(comparator);
    planted.match_share = 0.03;
    Rng rng(11);
    for (std::size_t f = 0; f < comparator.features(); ++f) {
        double m = 0, u = 0;
        for (unsigned l = 1; l < comparator.levels(f); ++l) {
            planted.m[f][l] = (l == comparator.equal_level(f) ? 8 : 0.5) * (1 + rng.uniform());
            planted.u[f][l] = (l == 1 ? 12 : 0.5) * (1 + rng.uniform());
            m += planted.m[f][l], u += planted.u[f][l];
        }
        for (unsigned l = 1; l < comparator.levels(f); ++l) planted.m[f][l] /= m, planted.u[f][l] /= u;
    }
    std::map<Pattern, double> counts;
    constexpr int kPairs = 400'000;
    for (int i = 0; i < kPairs; ++i) {
        const auto& table = rng.chance(planted.match_share) ? planted.m : planted.u;
        Pattern pattern = 0;
        for (std::size_t f = 0; f < table.size(); ++f) {
            if (rng.chance(0.1)) continue;  // missing
            double draw = rng.uniform();
            unsigned level = 1;
            while (level + 1 < table[f].size() && (draw -= table[f][level]) > 0) ++level;
            pattern |= level << (3 * f);
        }
        ++counts[pattern];
    }
    std::vector<Blocking::PatternCount> patterns;
    for (const auto& [pattern, count] : counts) patterns.push_back({pattern, count});
    const auto found = expectation_maximisation(comparator, patterns, first_guess(comparator), true, std::vector<bool>(5, false), {});
    // Twelve thousand matches: a share has a standard error below 0.005, and a little more for not knowing which they are.
    EXPECT_NEAR(found.match_share, planted.match_share, 0.002);
    for (std::size_t f = 0; f < planted.m.size(); ++f)
        for (std::size_t l = 1; l < planted.m[f].size(); ++l) {
            EXPECT_NEAR(found.m[f][l], planted.m[f][l], 0.02) << f << " " << l;
            EXPECT_NEAR(found.u[f][l], planted.u[f][l], 0.005) << f << " " << l;
        }
}

TEST(Scorer, reasons_add_up_to_the_weight_and_rare_names_weigh_more) {
    auto records = Records::over({{"given", FieldKind::kGivenName}, {"family", FieldKind::kFamilyName}, {"dob", FieldKind::kDate}});
    Rng rng(5);
    std::vector<std::array<std::string, 3>> rows;
    for (int i = 0; i < 300; ++i) {
        // Every person twice; one family name in three is Smith.
        if (i % 2 == 0) rows.push_back({random_word(rng, 5, 20) + "x", i % 6 == 0 ? "smith" : random_word(rng, 6, 20) + "y", fmt::format("19{:02}-0{}-{}", rng.below(100), 1 + rng.below(9), 10 + rng.below(19))});
        else rows.push_back(rows.back());
        if (i % 2 == 1 && rng.chance(0.2)) rows.back()[0][0] = 'q';
        std::array<std::string_view, 3> views;
        std::ranges::copy(rows.back(), views.begin());
        ASSERT_TRUE(records->add(views).ok());
    }
    auto resolution = resolve(std::move(*records), {});
    ASSERT_TRUE(resolution.ok());
    const auto& scorer = *resolution->scorer;
    const auto pair = [&](std::uint32_t a, std::uint32_t b) { return Pair{a, b, resolution->comparator->compare(a, b)}; };
    for (std::uint32_t a = 0; a < 40; ++a)
        for (std::uint32_t b = a + 1; b < 40; ++b) {
            double sum = scorer.prior();
            for (const auto& reason : scorer.explain(pair(a, b))) sum += reason.weight;
            ASSERT_NEAR(sum, scorer.weight(pair(a, b)), 1e-9);
        }
    EXPECT_LT(scorer.feature_weight(pair(0, 1), 1), scorer.feature_weight(pair(2, 3), 1));
    std::vector<std::uint32_t> entity;
    for (std::uint32_t i = 0; i < 300; ++i) entity.push_back(i / 2);
    EXPECT_GT(agreement_of_clusters(*resolution->records, resolution->clusters.of, entity).f1(), 0.99);
}

TEST(Clusters, average_linkage_breaks_chains_that_connection_makes) {
    const std::map<std::pair<std::uint32_t, std::uint32_t>, double> weights{{{0, 1}, 9}, {{1, 2}, 2}, {{2, 3}, 9}, {{0, 2}, -20}, {{0, 3}, -20}, {{1, 3}, -20}, {{4, 5}, 3}};
    const auto weight_of = [&](std::uint32_t a, std::uint32_t b) {
        const auto found = weights.find(std::minmax(a, b));
        return found == weights.end() ? -30.0 : found->second;
    };
    const std::vector<Link> links{{0, 1, 9}, {1, 2, 2}, {2, 3, 9}, {4, 5, 3}};
    EXPECT_EQ(cluster(7, links, weight_of, {.average_linkage = false}, 1).of, (std::vector<std::uint32_t>{0, 0, 0, 0, 4, 4, 6}));
    const auto split = cluster(7, links, weight_of, {}, 1);
    EXPECT_EQ(split.of, (std::vector<std::uint32_t>{0, 0, 2, 2, 4, 4, 6}));
    EXPECT_EQ(split.count, 4u);
    EXPECT_EQ(cluster(7, links, weight_of, {.weight_limit = 5}, 1).count, 5u);
}

TEST(Clusters, a_super_node_is_cut_and_reported_and_the_order_of_links_does_not_show) {
    // A record that a thousand others resemble a little, among them pairs that are truly alike.
    std::vector<Link> links;
    for (std::uint32_t i = 1; i <= 1000; ++i) links.push_back({0, i, 1});
    for (std::uint32_t i = 1; i <= 1000; i += 2) links.push_back({i, i + 1, 12});
    const auto weight_of = [](std::uint32_t a, std::uint32_t b) { return a == 0 || b == 0 ? 1.0 : (a - 1) / 2 == (b - 1) / 2 ? 12.0 : -10.0; };
    const auto clusters = cluster(1001, links, weight_of, {}, 2);
    EXPECT_EQ(clusters.oversized_components, 1u);
    EXPECT_EQ(clusters.oversized_records, 1001u);
    EXPECT_EQ(clusters.largest, 2u);
    EXPECT_EQ(clusters.count, 501u);
    Rng rng(2);
    for (int i = 0; i < 5; ++i) {
        rng.shuffle(links);
        EXPECT_EQ(cluster(1001, links, weight_of, {}, 3).of, clusters.of);
    }
}

TEST(OneToOne, takes_the_strongest_links_and_each_record_once) {
    const auto kept = one_to_one(6, {{0, 3, 1}, {0, 4, 5}, {1, 4, 4}, {1, 3, 2}, {2, 5, -1}}, 0);
    ASSERT_EQ(kept.size(), 2u);
    EXPECT_EQ(std::pair(kept[0].a, kept[0].b), std::pair(0u, 4u));
    EXPECT_EQ(std::pair(kept[1].a, kept[1].b), std::pair(1u, 3u));
}

TEST(Resolve, gives_the_same_links_and_clusters_for_any_number_of_threads_and_finds_planted_people) {
    std::vector<std::uint32_t> clusters;
    std::vector<double> weights;
    for (const unsigned threads : {1u, 2u, 5u}) {
        auto people = synthetic_people({.records = 6000, .seed = 3});
        ASSERT_TRUE(people.ok());
        const auto entity = people->entity;
        auto found = resolve(std::move(people->records), {.fit = {.random_pairs = 100'000}, .threads = threads});
        ASSERT_TRUE(found.ok()) << found.error().message;
        ASSERT_FALSE(found->blocking->compares_all());
        std::vector<double> each;
        for (const auto& link : found->links) each.push_back(link.weight);
        if (threads == 1) clusters = found->clusters.of, weights = each;
        EXPECT_EQ(found->clusters.of, clusters);
        EXPECT_EQ(each, weights);
        const auto agreement = agreement_of_clusters(*found->records, found->clusters.of, entity);
        EXPECT_GT(agreement.f1(), 0.97) << agreement.precision() << " " << agreement.recall();
        EXPECT_TRUE(found->model->untrained.empty());
    }
}

TEST(Agreement, counts_pairs) {
    auto records = Records::over({{"x", FieldKind::kText}});
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(records->add(std::array<std::string_view, 1>{"a"}).ok());
    const std::vector<std::uint32_t> entity{0, 0, 0, 1, 1}, of{0, 0, 2, 2, 2};
    const auto clustered = agreement_of_clusters(*records, of, entity);
    EXPECT_EQ(clustered.truth, 4);
    EXPECT_EQ(clustered.said, 4);
    EXPECT_EQ(clustered.right, 2);
    EXPECT_DOUBLE_EQ(clustered.f1(), 0.5);
    const std::vector<Link> links{{0, 1, 1}, {2, 3, 1}};
    EXPECT_EQ(agreement_of_links(*records, links, entity).right, 1);
}

}  // namespace
}  // namespace perennial::resolve
