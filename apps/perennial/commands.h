// The sub-commands: what main.cpp reads from the command line, and the functions that do it. Each lives in a file of its
// own and only wires rooms of src/ together. Results go to standard output, progress and logs to standard error.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "decide/reasons.h"
#include "predict/settings_search.h"
#include "resolve/blocking.h"

namespace perennial::app {

namespace fs = std::filesystem;

struct Common {
    fs::path shop = "shop";
    std::uint64_t seed = 1;
    unsigned threads = 2;      // a busy machine punishes more (docs/design/threads.md)
    bool json = false;
};

struct InitCommand { Common common; };
struct ImportCommand {
    Common common;
    std::vector<fs::path> files;
    std::string mapping;
    std::vector<std::string> disabled_rules;
    bool list_presets = false;
    std::string postgres, table, query, cursor;  // instead of files
    std::size_t page_rows = 100'000;
};
struct TrainCommand {
    Common common;
    double seconds_limit = 90;
    std::vector<std::string> train_flags;
    predict::SearchOptions search;
    bool update = false;
    double replay_share = 0.5, rate_share = 0.5;  // of an update
    std::string task;           // a TOML file or a built-in task: train an adapter instead
    bool seed_given = false;    // the task's file says the seed otherwise
    fs::path predictions;       // CSV of every customer's answer
};
struct EvaluateCommand { Common common; double seconds_limit = 90; };
struct CustomerCommand { Common common; std::string id; bool anonymous = false, timeline = false; double horizon_days = 0; /* 0: not asked */ };
struct RecommendCommand {
    Common common;
    std::string customer;
    bool anonymous = false;
    std::size_t count = 10;
    decide::Reasons reasons = decide::Reasons::kShort;
};
struct ServeCommand { Common common; std::string listen; };
struct RunCommand { Common common; std::vector<fs::path> files; std::string mapping, listen; bool serve = true; double seconds_limit = 60; };
struct SimulateCommand { Common common; fs::path out; std::uint32_t customers = 2000, products = 400, days = 540; };
struct BenchCommand {
    Common common;
    fs::path sequences, out;
    std::vector<fs::path> items;
    double seconds_limit = 0;
    std::vector<std::string> train_flags;
    predict::SearchOptions search;
};

struct ColdStartCommand {
    Common common;
    fs::path sequences, out;
    std::vector<fs::path> items;
    std::vector<std::string> train_flags;
    double cold_share = 0.1;
};

struct ContinualCommand {
    Common common;
    fs::path out;
    double seconds_limit = 0;
    std::vector<std::string> train_flags;
    double replay_share = 0.5, rate_share = 0.5;
};

struct ExplainCommand {
    Common common;
    fs::path sequences, weights;  // both or none: a shop
    std::size_t removed = 3, customers = 500;
};
struct FewLabelsCommand {
    Common common;
    double seconds_limit = 90;                       // of a blind backbone
    std::string task;
    std::vector<std::int64_t> sizes{10, 100, 1000, 10000};
    std::vector<std::string> methods{"head", "lora", "full"};
    std::int64_t seeds = 3;
    fs::path svg;
};
struct IdentityCommand {
    Common common;
    std::string verb;                  // propose, list, accept, reject, undo, explain
    std::vector<std::string> targets;  // an id, or two customer keys
    std::string by, why;
};
struct IdentityBenchCommand {
    Common common;
    fs::path csv, csv2;
    std::string truth, truth_match;   // column; regular expression whose one group is the person
    std::vector<std::string> fields;  // COLUMN=KIND; guessed from the header where empty
    std::size_t generate = 0;         // records made instead of read
    double probability = 0.5;
    std::size_t block_limit = resolve::BlockingOptions{}.block_records_limit;
    bool connected = false;           // connected components instead of average linkage
};

struct KeysCommand { Common common; std::string name, role, id; };
struct AuditCommand { Common common; bool verify = false; std::string head; };

Status init(const InitCommand&);
Status import(const ImportCommand&);
Status check(const Common&);
Status train(const TrainCommand&);
Status train_task(const TrainCommand&);
Status evaluate(const EvaluateCommand&);
Status report(const Common&);
Status customer(const CustomerCommand&);
Status recommend(const RecommendCommand&);
Status serve(const ServeCommand&);
Status run(const RunCommand&);
Status simulate(const SimulateCommand&);
Status audit(const AuditCommand&);
Status keys_create(const KeysCommand&);
Status keys_list(const KeysCommand&);
Status keys_revoke(const KeysCommand&);
Status privacy_scan(const Common&);
Status identity_command(const IdentityCommand&);
Status bench_nextitem(const BenchCommand&);
Status bench_coldstart(const ColdStartCommand&);
Status bench_continual(const ContinualCommand&);
Status bench_explain(const ExplainCommand&);
Status bench_fewlabels(const FewLabelsCommand&);
Status bench_identity(const IdentityBenchCommand&);

}  // namespace perennial::app
