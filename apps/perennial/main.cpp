// The command line: one sub-command a function. Exit codes: 0 done, 1 failed, 2 wrong usage.
#include <CLI/CLI.hpp>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <tuple>

#include "base/parallel.h"
#include "build_info.h"
#include "commands.h"
#include "predict/churn.h"

namespace perennial::app {
namespace {

int answer(Status status) {
    // Results that did not reach their reader are a failure: a full disk behind a redirection, say.
    if (status.ok() && (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)) status = io_error("write results to standard output", errno);
    if (status.ok()) return 0;
    std::fprintf(stderr, "perennial: %s\n", status.error().message.c_str());
    return 1;
}

void add_shop(CLI::App* command, Common& common) { command->add_option("--shop", common.shop, "folder of the shop")->capture_default_str(); }
void add_json(CLI::App* command, Common& common) { command->add_flag("--json", common.json, "results as JSON on standard output"); }
void add_threads(CLI::App* command, Common& common) {
    command->add_option("--threads", common.threads, "threads of the heavy parts")->capture_default_str()->check(CLI::Range(1, 256));
}
void add_seed(CLI::App* command, Common& common) {
    command->add_option("--seed", common.seed, "same seed, same numbers, when no time limit cuts training short")->capture_default_str();
}

void add_train_flags(CLI::App* command, std::vector<std::string>& flags) {
    command->add_option("--train", flags, "further flags of perennial-train, such as --train=--width=128; may be repeated")->allow_extra_args(false);
}
void add_search(CLI::App* command, predict::SearchOptions& search) {
    command->add_option("--search", search.trials, "choose the network's settings by so many trials, on validation data")->check(CLI::Range(1, 10'000));
    command->add_option("--search-seconds", search.seconds_limit, "start no new trial after so long; 0: no limit")->capture_default_str();
    command->add_option("--search-epochs", search.epochs_limit, "epochs of the trials that are trained to the end")->capture_default_str()->check(CLI::Range(1, 10'000));
}

void add_update(CLI::App* command, double& replay_share, double& rate_share) {
    command->add_option("--replay", replay_share, "share of the customers whose earlier behaviour an update learns again")->capture_default_str()->check(CLI::Range(0.0, 1.0));
    command->add_option("--update-rate", rate_share, "learning rate of an update, as a share of the full one")->capture_default_str()->check(CLI::Range(0.001, 1.0));
}

int dispatch(int argc, char** argv) {
    CLI::App app{"Perennial: from a shop's events to recommendations, churn scores and measured decisions"};
    app.set_version_flag("--version", std::string(build_commit()));
    app.require_subcommand(1);
    app.option_defaults()->always_capture_default(false);
    Status status = Done{};
    const unsigned threads = std::min(2u, usable_cores());

    InitCommand init_options;
    auto* init_command = app.add_subcommand("init", "make a shop's folder with its settings");
    init_command->add_option("dir", init_options.common.shop, "folder")->required();
    init_command->callback([&] { status = init(init_options); });

    ImportCommand import_options;
    auto* import_command = app.add_subcommand("import", "read exports (CSV, Segment JSON lines; also .gz), clean them, keep them");
    add_shop(import_command, import_options.common);
    add_json(import_command, import_options.common);
    import_command->add_option("files", import_options.files, "files to read");
    import_command->add_option("--map", import_options.mapping, "preset name or mapping file (TOML); found from the header by default");
    import_command->add_option("--without", import_options.disabled_rules, "cleaning rule to leave out; may be repeated")->allow_extra_args(false);
    import_command->add_flag("--presets", import_options.list_presets, "list the presets");
    auto* postgres = import_command->add_option("--postgres", import_options.postgres, "instead of files: rows of this database that are new since the last time (libpq's connection string)");
    auto* table = import_command->add_option("--table", import_options.table, "of --postgres: this table")->needs(postgres);
    import_command->add_option("--query", import_options.query, "of --postgres: the rows of this query")->needs(postgres)->excludes(table);
    auto* cursor = import_command->add_option("--cursor", import_options.cursor, "of --postgres: a column that only grows")->needs(postgres);
    import_command->add_option("--page-rows", import_options.page_rows, "of --postgres: rows imported at a time")->needs(postgres)->capture_default_str()->check(CLI::Range(1, 10'000'000));
    postgres->needs(cursor);
    import_command->callback([&] {
        if (!import_options.postgres.empty() && import_options.table.empty() == import_options.query.empty()) throw CLI::RequiredError("import --postgres: --table or --query");
        if (import_options.files.empty() && import_options.postgres.empty() && !import_options.list_presets) throw CLI::RequiredError("import: at least one file");
        status = import(import_options);
    });

    Common check_options;
    auto* check_command = app.add_subcommand("check", "data-quality report of everything imported");
    add_shop(check_command, check_options);
    add_json(check_command, check_options);
    check_command->callback([&] { status = check(check_options); });

    TrainCommand train_options;
    train_options.common.threads = threads;
    auto* train_command = app.add_subcommand("train", "train the behaviour model and the churn forecast");
    add_shop(train_command, train_options.common);
    add_json(train_command, train_options.common);
    add_seed(train_command, train_options.common);
    add_threads(train_command, train_options.common);
    train_command->add_option("--seconds", train_options.seconds_limit, "training time of each network at most; 0: no limit")->capture_default_str();
    add_train_flags(train_command, train_options.train_flags);
    add_search(train_command, train_options.search);
    auto* update = train_command->add_flag("--update", train_options.update, "go on from the current run with what happened since it learned");
    update->excludes("--search");
    add_update(train_command, train_options.replay_share, train_options.rate_share);
    train_command->add_option("--task", train_options.task, "adapt the trained model to a question: a TOML file (docs/guide/tasks.md), or churn, purchase, refund, high_spend, amount, category");
    train_command->add_option("--predict", train_options.predictions, "with --task: write every customer's answer to this CSV")->needs("--task");
    train_command->callback([&] {
        train_options.seed_given = train_command->count("--seed") > 0;
        status = train_options.task.empty() ? train(train_options) : train_task(train_options);
    });

    EvaluateCommand evaluate_options;
    evaluate_options.common.threads = threads;
    auto* evaluate_command = app.add_subcommand("evaluate", "every predictor beside its humbling comparator; writes report.html");
    add_shop(evaluate_command, evaluate_options.common);
    add_json(evaluate_command, evaluate_options.common);
    add_seed(evaluate_command, evaluate_options.common);
    add_threads(evaluate_command, evaluate_options.common);
    evaluate_command->add_option("--seconds", evaluate_options.seconds_limit, "training time of each network at most; 0: no limit")->capture_default_str();
    evaluate_command->callback([&] { status = evaluate(evaluate_options); });

    Common report_options;
    auto* report_command = app.add_subcommand("report", "write report.html from what is known now");
    add_shop(report_command, report_options);
    add_json(report_command, report_options);
    report_command->callback([&] { status = report(report_options); });

    CustomerCommand customer_options;
    auto* customer_command = app.add_subcommand("customer", "timeline, stage, churn and reasons of one customer");
    add_shop(customer_command, customer_options.common);
    add_json(customer_command, customer_options.common);
    customer_command->add_option("id", customer_options.id, "user id")->required();
    customer_command->add_flag("--anonymous", customer_options.anonymous, "the id is an anonymous id");
    customer_command->add_flag("--timeline", customer_options.timeline, "all events across channels and merged keys, and nothing else; needs no trained model");
    customer_command->add_option("--horizon", customer_options.horizon_days, "days: the chance of no purchase within them")->check(CLI::Range(1.0, predict::kHorizonDaysLimit));
    customer_command->callback([&] { status = customer(customer_options); });

    IdentityCommand identity_options;
    identity_options.common.threads = threads;
    auto* identity = app.add_subcommand("identity", "which customers are one person: proposals, decisions, their reasons");
    identity->require_subcommand(1);
    for (const auto& [verb, text, targets] : {std::tuple{"propose", "look for pairs; merge only what identity.toml lets a rule merge", 0}, {"list", "decisions and open proposals", 0},
                                              {"accept", "these are one person: an id, or two customer keys (u:1 u:2)", 2}, {"reject", "these are not, and are not to be proposed again", 2},
                                              {"undo", "take a merge back, exactly", 2}, {"explain", "on which grounds: an id, two customer keys, or one customer's", 2}}) {
        auto* command = identity->add_subcommand(verb, text);
        add_shop(command, identity_options.common);
        add_json(command, identity_options.common);
        if (targets > 0) command->add_option("target", identity_options.targets, "an id, or customer keys: u:USER, a:ANONYMOUS, o:ORDER")->required()->expected(1, targets);
        else add_threads(command, identity_options.common);
        if (targets > 0 && std::string_view(verb) != "explain") {
            command->add_option("--by", identity_options.by, "who decides; the system's user by default");
            command->add_option("--why", identity_options.why, "kept with the decision");
        }
        command->callback([&, name = std::string(verb)] {
            identity_options.verb = name;
            status = identity_command(identity_options);
        });
    }

    RecommendCommand recommend_options;
    auto* recommend_command = app.add_subcommand("recommend", "products for one customer, with reasons");
    add_shop(recommend_command, recommend_options.common);
    add_json(recommend_command, recommend_options.common);
    recommend_command->add_option("--customer", recommend_options.customer, "user id")->required();
    recommend_command->add_flag("--anonymous", recommend_options.anonymous, "the id is an anonymous id");
    recommend_command->add_option("-n", recommend_options.count, "how many")->capture_default_str()->check(CLI::Range(1, 100));
    recommend_command->add_option_function<std::string>("--reasons", [&](const std::string& name) { recommend_options.reasons = *decide::reasons_from(name); },
                                                        "none, short, or full: what a reason rests on, too")
        ->default_str("short")->check(CLI::IsMember(std::vector<std::string>(std::begin(decide::kReasonsNames), std::end(decide::kReasonsNames))));
    recommend_command->callback([&] { status = recommend(recommend_options); });

    ServeCommand serve_options;
    serve_options.common.threads = threads;
    auto* serve_command = app.add_subcommand("serve", "take events and answer over HTTP");
    add_shop(serve_command, serve_options.common);
    add_threads(serve_command, serve_options.common);
    serve_command->add_option("--listen", serve_options.listen, "address:port; from perennial.toml by default");
    serve_command->callback([&] { status = serve(serve_options); });

    RunCommand run_options;
    run_options.common.threads = threads;
    auto* run_command = app.add_subcommand("run", "all of it: import, train, evaluate, report, serve");
    add_shop(run_command, run_options.common);
    add_seed(run_command, run_options.common);
    add_threads(run_command, run_options.common);
    run_command->add_option("--import", run_options.files, "files to import first; a simulated shop when the shop is empty and none is named");
    run_command->add_option("--map", run_options.mapping, "preset name or mapping file (TOML)");
    run_command->add_option("--listen", run_options.listen, "address:port; from perennial.toml by default");
    run_command->add_option("--seconds", run_options.seconds_limit, "training time of each network at most; 0: no limit")->capture_default_str();
    run_command->add_flag("!--no-serve", run_options.serve, "stop after the report");
    run_command->callback([&] { status = run(run_options); });

    SimulateCommand simulate_options;
    auto* simulate_command = app.add_subcommand("simulate", "a synthetic shop with known truth");
    simulate_command->add_option("--out", simulate_options.out, "folder for events.jsonl, truth.csv and more")->required();
    simulate_command->add_option("--customers", simulate_options.customers, "customers")->capture_default_str();
    simulate_command->add_option("--products", simulate_options.products, "products")->capture_default_str();
    simulate_command->add_option("--days", simulate_options.days, "days")->capture_default_str();
    simulate_command->add_option("--seed", simulate_options.common.seed, "same seed, same shop")->capture_default_str();
    simulate_command->add_flag("--json", simulate_options.common.json, "summary as JSON");
    simulate_command->callback([&] { status = simulate(simulate_options); });

    AuditCommand audit_options;
    auto* audit_command = app.add_subcommand("audit", "what was done in this shop, by whom; checks that the record is whole");
    add_shop(audit_command, audit_options.common);
    add_json(audit_command, audit_options.common);
    audit_command->add_flag("--verify", audit_options.verify, "check only");
    audit_command->add_option("--head", audit_options.head, "a head that was noted earlier: it must still be in the chain");
    audit_command->callback([&] { status = audit(audit_options); });

    KeysCommand keys_options;
    auto* keys_command = app.add_subcommand("keys", "keys of the HTTP API and what their holders may do")->require_subcommand(1);
    auto* keys_create_command = keys_command->add_subcommand("create", "make a key; it is printed this once");
    keys_create_command->add_option("--name", keys_options.name, "what a person calls it")->required();
    keys_create_command->add_option("--role", keys_options.role, "source: sends events; viewer: report; analyst: customers too; operator: also changes; admin: all")
        ->required()->check(CLI::IsMember({"source", "viewer", "analyst", "operator", "admin"}));
    keys_create_command->callback([&] { status = keys_create(keys_options); });
    auto* keys_list_command = keys_command->add_subcommand("list", "keys, without their secrets");
    keys_list_command->callback([&] { status = keys_list(keys_options); });
    auto* keys_revoke_command = keys_command->add_subcommand("revoke", "end a key; a running server knows within a second");
    keys_revoke_command->add_option("id", keys_options.id, "as keys list shows it")->required();
    keys_revoke_command->callback([&] { status = keys_revoke(keys_options); });
    for (auto* command : {keys_create_command, keys_list_command, keys_revoke_command}) {
        add_shop(command, keys_options.common);
        add_json(command, keys_options.common);
    }

    Common privacy_options;
    auto* privacy_command = app.add_subcommand("privacy", "personal data")->require_subcommand(1);
    auto* scan_command = privacy_command->add_subcommand("scan", "e-mails, telephone, identity and card numbers, addresses in texts and properties of events");
    add_shop(scan_command, privacy_options);
    add_json(scan_command, privacy_options);
    scan_command->callback([&] { status = privacy_scan(privacy_options); });

    BenchCommand bench_options;
    bench_options.common.threads = threads;
    auto* bench_command = app.add_subcommand("bench", "measure by a public protocol");
    bench_command->require_subcommand(1);
    auto* nextitem = bench_command->add_subcommand("nextitem", "next item, leave one out, full ranking");
    nextitem->add_option("--sequences", bench_options.sequences, "a line a user: user id, then item ids in time order (also .gz)")->required();
    nextitem->add_option("--items", bench_options.items, "what the items are: CSV with a header, or JSON (also .gz; docs/guide/bench.md)");
    nextitem->add_option("--out", bench_options.out, "folder for weights and curves; a temporary one by default");
    add_seed(nextitem, bench_options.common);
    add_threads(nextitem, bench_options.common);
    nextitem->add_option("--seconds", bench_options.seconds_limit, "training time at most; 0: no limit")->capture_default_str();
    add_train_flags(nextitem, bench_options.train_flags);
    add_search(nextitem, bench_options.search);
    add_json(nextitem, bench_options.common);
    nextitem->callback([&] { status = bench_nextitem(bench_options); });
    ColdStartCommand cold_options;
    cold_options.common.threads = threads;
    auto* coldstart = bench_command->add_subcommand("coldstart", "items without any interaction, ranked from what they are");
    coldstart->add_option("--sequences", cold_options.sequences, "as for nextitem")->required();
    coldstart->add_option("--items", cold_options.items, "as for nextitem")->required();
    coldstart->add_option("--cold-share", cold_options.cold_share, "share of items left out of training")->capture_default_str()->check(CLI::Range(0.0, 0.9));
    coldstart->add_option("--out", cold_options.out, "folder for weights and curves; a temporary one by default");
    add_seed(coldstart, cold_options.common);
    add_threads(coldstart, cold_options.common);
    add_json(coldstart, cold_options.common);
    add_train_flags(coldstart, cold_options.train_flags);
    coldstart->callback([&] { status = bench_coldstart(cold_options); });

    ContinualCommand continual_options;
    continual_options.common.threads = threads;
    auto* continual = bench_command->add_subcommand("continual", "a network updated month by month against one trained again and one left alone");
    add_shop(continual, continual_options.common);
    add_json(continual, continual_options.common);
    add_seed(continual, continual_options.common);
    add_threads(continual, continual_options.common);
    add_train_flags(continual, continual_options.train_flags);
    continual->add_option("--out", continual_options.out, "folder for weights and curves; a temporary one by default");
    continual->add_option("--seconds", continual_options.seconds_limit, "training time of each network at most; 0: no limit")->capture_default_str();
    add_update(continual, continual_options.replay_share, continual_options.rate_share);
    continual->callback([&] { status = bench_continual(continual_options); });

    ExplainCommand explain_options;
    explain_options.common.threads = threads;
    auto* explain = bench_command->add_subcommand("explain", "do the events that an explanation names move the score?");
    add_shop(explain, explain_options.common);
    add_json(explain, explain_options.common);
    add_seed(explain, explain_options.common);
    add_threads(explain, explain_options.common);
    explain->add_option("--customers", explain_options.customers, "at most, drawn by seed")->capture_default_str()->check(CLI::Range(1, 1'000'000));
    explain->add_option("--removed", explain_options.removed, "events taken away")->capture_default_str()->check(CLI::Range(1, 20));
    auto* sequences = explain->add_option("--sequences", explain_options.sequences, "instead of a shop: item sequences, as for nextitem");
    auto* weights = explain->add_option("--weights", explain_options.weights, "model.safetensors of such a run");
    sequences->needs(weights);
    weights->needs(sequences);
    explain->callback([&] { status = bench_explain(explain_options); });

    FewLabelsCommand fewlabels_options;
    fewlabels_options.common.threads = threads;
    auto* fewlabels = bench_command->add_subcommand("fewlabels", "adapters and trees at rising numbers of labels");
    add_shop(fewlabels, fewlabels_options.common);
    add_json(fewlabels, fewlabels_options.common);
    add_seed(fewlabels, fewlabels_options.common);
    add_threads(fewlabels, fewlabels_options.common);
    fewlabels->add_option("--task", fewlabels_options.task, "as of train --task")->required();
    fewlabels->add_option("--sizes", fewlabels_options.sizes, "numbers of labels")->delimiter(',')->check(CLI::Range(2, 1'000'000'000));
    fewlabels->add_option("--methods", fewlabels_options.methods, "adapters: head, lora, full, prefix")->delimiter(',')->check(CLI::IsMember({"head", "lora", "full", "prefix"}));
    fewlabels->add_option("--seeds", fewlabels_options.seeds, "draws of labels at each number")->capture_default_str()->check(CLI::Range(1, 100));
    fewlabels->add_option("--seconds", fewlabels_options.seconds_limit, "training time of a blind backbone at most; 0: no limit")->capture_default_str();
    fewlabels->add_option("--svg", fewlabels_options.svg, "write the curves to this picture");
    fewlabels->callback([&] { status = bench_fewlabels(fewlabels_options); });

    IdentityBenchCommand identity_bench_options;
    identity_bench_options.common.threads = threads;
    auto* identity_bench = bench_command->add_subcommand("identity", "records of known persons, linked without labels");
    add_json(identity_bench, identity_bench_options.common);
    add_seed(identity_bench, identity_bench_options.common);
    add_threads(identity_bench, identity_bench_options.common);
    identity_bench->add_option("--csv", identity_bench_options.csv, "records, with a header (also .gz)");
    identity_bench->add_option("--csv2", identity_bench_options.csv2, "link the records of the first file to those of this one, one to one")->needs("--csv");
    identity_bench->add_option("--truth", identity_bench_options.truth, "column that tells the person; never looked at before the score")->needs("--csv");
    identity_bench->add_option("--truth-match", identity_bench_options.truth_match, "regular expression on it whose one group is the person")->needs("--truth");
    identity_bench->add_option("--field", identity_bench_options.fields, "COLUMN=KIND to compare, may be repeated; guessed from the header by default")->needs("--csv");
    identity_bench->add_option("--generate", identity_bench_options.generate, "make so many records of known persons instead")->excludes("--csv")->check(CLI::Range(std::size_t{100}, resolve::kRecordsLimit));
    identity_bench->add_option("--probability", identity_bench_options.probability, "of a link")->capture_default_str()->check(CLI::Range(0.01, 0.999999));
    identity_bench->add_option("--block-limit", identity_bench_options.block_limit, "records that may share a blocking key; larger blocks are refused and reported")->capture_default_str()->check(CLI::Range(2, 100'000));
    identity_bench->add_flag("--connected", identity_bench_options.connected, "connected components instead of average linkage");
    identity_bench->callback([&] { status = bench_identity(identity_bench_options); });

    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& problem) {
        if (problem.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) return app.exit(problem);  // --help, --version
        const auto named = [&](const CLI::App* command) { return argc > 1 && command->get_name() == argv[1]; };
        const bool unknown = argc > 1 && argv[1][0] != '-' && app.get_subcommands(named).empty();
        const std::string message = unknown ? "unknown command '" + std::string(argv[1]) + "'" : problem.what();
        std::fprintf(stderr, "perennial: %s (perennial --help shows the commands)\n", message.c_str());
        return 2;
    }
    return answer(status);
}

}  // namespace
}  // namespace perennial::app

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ, SIG_IGN);  // a file size limit is an error of the write, not the end of the process
    try {
        return perennial::app::dispatch(argc, argv);
    } catch (const std::exception& problem) {  // what cannot start: out of memory, a missing library
        std::fprintf(stderr, "perennial: %s\n", problem.what());
        return 1;
    }
}
