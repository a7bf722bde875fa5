#include "control/executor.h"

#include <gtest/gtest.h>

#include <sstream>

#include "control/slice.h"
#include "ipvs/command.h"
#include "ipvs/ipvsadm.h"
#include "net/headers.h"

namespace shunt::control {
namespace {

class ExecutorTest : public testing::Test {
 protected:
  ExecutorTest()
      : x_executor(x_configuration,
                   {[this](uint32_t id) { return x_facts[id]; },
                    [this](uint64_t& cursor, size_t most) { return sessions(cursor, most); },
                    [this](std::shared_ptr<const ipvs::ServiceTable> table, const ipvs::Timeouts&) {
                      x_published++;
                      x_table = std::move(table);
                    }}) {}

  std::vector<ipvs::SessionRecord> sessions(uint64_t& cursor, size_t most) {
    std::vector<ipvs::SessionRecord> page;
    while (page.size() < most && cursor < x_sessions) {
      ipvs::SessionRecord session;
      session.protocol = net::kTcp;
      session.seconds_left = static_cast<uint32_t>(cursor++);
      page.push_back(session);
    }
    if (cursor == x_sessions) cursor = 0;
    return page;
  }

  /// Runs shuntadm against the executor; standard output, then "ERR " and standard error.
  std::string run(const std::string& line, const std::string& input = "") {
    std::istringstream words(line), in(input);
    std::vector<std::string> arguments;
    for (std::string word; words >> word;) arguments.push_back(word);
    std::ostringstream out, err;
    x_status = ipvs::run_ipvsadm(arguments, "shuntadm", ipvs::numeric_names(),
                                 [&](const ipvs::Request& request) {
                                   x_requests++;
                                   return ipvs::decode_reply(x_executor.answer(encode(request)));
                                 },
                                 {in, out, err});
    return out.str() + (err.str().empty() ? "" : "ERR " + err.str());
  }

  /// Begins to answer lines of ipvsadm.
  std::unique_ptr<Answer> begin(const std::string& lines, bool atomic = false) {
    ipvs::PackedRequest request;
    std::istringstream in(lines);
    for (std::string line; std::getline(in, line);) {
      request.commands.add_command();
      for (const std::string& word : ipvs::split_line(line, "shuntadm"))
        request.commands.add_word(word);
    }
    request.atomic = atomic;
    return x_executor.begin(std::move(request));
  }

  /// Works on it until it is done; how many slices that took. `text` becomes the reply.
  static int finish(Answer& answer, std::string* text = nullptr) {
    std::string all;
    int slices = 1;
    while (answer.work(all) != Progress::kDone) slices++;
    if (text) *text = all;
    return slices;
  }

  /// Lines that add services from `first` on, each with a server.
  static std::string services(int first, int count) {
    std::string lines;
    for (int i = first; i < first + count; i++) {
      const std::string key =
          "-t 10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250) + ":80";
      lines += "-A " + key + " -s rr\n-a " + key + " -r 10.1.0.1 -m\n";
    }
    return lines;
  }

  std::map<uint32_t, ServerFacts> x_facts;
  uint64_t x_sessions = 0;
  int x_published = 0, x_requests = 0, x_status = 0;
  std::shared_ptr<const ipvs::ServiceTable> x_table;
  ipvs::Configuration x_configuration;
  Executor x_executor;
};

TEST_F(ExecutorTest, PublishesChangesOnly) {
  run("-A -t 10.0.0.1:80 -s rr");
  EXPECT_EQ(x_published, 1);
  run("-A -t 10.0.0.1:80 -s rr");
  run("-L -n");
  run("-Z");
  EXPECT_EQ(x_published, 1);
  run("--set 1 2 3");
  EXPECT_EQ(x_published, 2);
  run("-R", "-a -t 10.0.0.1:80 -r 10.1.0.1\n-a -t 10.0.0.1:80 -r 10.1.0.2\n");
  EXPECT_EQ(x_published, 3) << "once for all lines";
  auto service = x_table->find<net::V4>(net::kTcp, parse_address("10.0.0.1")->v4(), be16(80));
  EXPECT_EQ(service->servers.size(), 2u);
}

TEST_F(ExecutorTest, ShowsWhatWorkersCount) {
  run("-A -t 10.0.0.1:80 -s rr");
  run("-a -t 10.0.0.1:80 -r 10.1.0.1 -m");
  x_facts[0] = {2, 3, 0, {100, 200, 300, 400, 500}};
  EXPECT_EQ(run("-L -n -t 10.0.0.1:80"),
            "Prot LocalAddress:Port Scheduler Flags\n"
            "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n"
            "TCP  10.0.0.1:80 rr\n"
            "  -> 10.1.0.1:80                  Masq    1      2          3         \n");
  EXPECT_EQ(run("-L -n --stats -t 10.0.0.1:80"),
            "Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes\n"
            "  -> RemoteAddress:Port\n"
            "TCP  10.0.0.1:80                       100      200      300      400      500\n"
            "  -> 10.1.0.1:80                       100      200      300      400      500\n");
  x_executor.tick();
  std::string rates = run("-L -n --rate -t 10.0.0.1:80");
  EXPECT_NE(rates.find("TCP  10.0.0.1:80                        12       25       37       50"
                       "       62"),
            rates.npos)
      << rates;
  run("-Z -t 10.0.0.1:80");
  EXPECT_NE(run("-L -n --stats").find("10.1.0.1:80                         0        0"),
            std::string::npos);
}

TEST_F(ExecutorTest, SessionsComeInPages) {
  x_sessions = ipvs::kSessionsPerReply * 2 + 1;
  std::string text = run("-L -n -c");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), static_cast<long>(x_sessions) + 2);
  EXPECT_EQ(x_requests, 3);
  x_sessions = 2;
  std::string json = run("-L -c --json");
  EXPECT_TRUE(json.starts_with("{\"sessions\":[{\"protocol\":\"tcp\",")) << json;
  EXPECT_TRUE(json.ends_with("}]}\n")) << json;
  x_sessions = 0;
  EXPECT_EQ(run("-L -c --json"), "{\"sessions\":[]}\n");
}

TEST_F(ExecutorTest, RestoreGoesOnAndItsStatusIsTheLastLines) {
  EXPECT_EQ(
      run("-R", "-A -t 10.0.0.1:80 -s rr\n-A -t 10.0.0.1:80 -s rr\n-A -t 10.0.0.2:80 -s rr\n"),
      "ERR Service already exists\n");
  EXPECT_EQ(x_status, 0);
  EXPECT_EQ(run("-R", "-A -t 10.0.0.3:80 -s rr\n-A -t 10.0.0.1:80 -s rr\n"),
            "ERR Service already exists\n");
  EXPECT_EQ(x_status, 255);
  EXPECT_EQ(run("-R", "-C\n-A -t\n-A -t x\n-A -t 10.0.0.7:80 -s rr\n"),
            "ERR -t: missing argument\nillegal virtual server address[:port] specified\n");
  EXPECT_EQ(x_status, 2);
  EXPECT_EQ(x_configuration.services().size(), 0u);
}

TEST_F(ExecutorTest, ManyLinesGoTogetherAndErrorsStayInOrder) {
  std::string lines;
  for (int i = 0; i < 6000; i++)
    lines +=
        "-A -t 10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250) + ":80 -s rr\n";
  EXPECT_EQ(run("-R", lines), "");
  EXPECT_EQ(x_requests, 3);
  EXPECT_EQ(x_configuration.services().size(), 6000u);
}

TEST_F(ExecutorTest, SendsCountersOnlyToThoseWhoShowThem) {
  run("-A -t 10.0.0.1:80 -s rr");
  run("-a -t 10.0.0.1:80 -r 10.1.0.1 -m");
  x_facts[0].active = 2;
  x_facts[0].totals.in_packets = 7;
  auto listed = [&](const char* option) {
    return x_executor.execute({{{"-L", option}}}).services->at(0);
  };
  for (const char* option : {"--stats", "--rate", "--json"}) {
    EXPECT_EQ(listed(option).totals.in_packets, 7u) << option;
    EXPECT_EQ(listed(option).servers[0].totals.in_packets, 7u) << option;
  }
  EXPECT_EQ(listed("-n").totals.in_packets, 0u);
  EXPECT_EQ(listed("-n").servers[0].totals.in_packets, 0u);
  EXPECT_EQ(listed("-n").servers[0].active, 2u);
}

TEST_F(ExecutorTest, AtomicRestoreNamesTheLineAndChangesNothing) {
  EXPECT_EQ(run("-R --atomic",
                "-A -t 10.0.0.1:80 -s rr\n\n-a -t 10.0.0.1:80 -r 10.1.0.1\n-D -t 10.0.0.9:80\n"),
            "ERR standard input:4: No such service\n");
  EXPECT_EQ(x_status, 255);
  EXPECT_EQ(run("-R --atomic", "-A -t 10.0.0.1:80 -s rr\n-A -t x\n"),
            "ERR standard input:2: illegal virtual server address[:port] specified\n");
  EXPECT_EQ(x_status, 2);
  EXPECT_EQ(x_published, 0);
  EXPECT_TRUE(x_configuration.services().empty());
  EXPECT_EQ(run("-R --atomic", "-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.1.0.1\n"), "");
  EXPECT_EQ(x_published, 1);
}

TEST_F(ExecutorTest, NotBuiltYet) {
  EXPECT_EQ(run("--start-daemon master"),
            "ERR --start-daemon is refused: connections are not synchronized yet\n");
  EXPECT_EQ(x_status, 255);
  EXPECT_EQ(x_published, 0);
}

TEST_F(ExecutorTest, TurnsKnobs) {
  std::string all = run("--sysctl");
  EXPECT_TRUE(all.starts_with("net.ipv4.vs.am_droprate = 10\nnet.ipv4.vs.amemthresh = 1024\n"))
      << all;
  EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), ipvs::kKnobs);
  EXPECT_EQ(x_published, 0);
  EXPECT_EQ(run("--sysctl conn_reuse_mode=0"), "");
  EXPECT_EQ(run("--sysctl net.ipv4.vs.sloppy_tcp=1"), "");
  EXPECT_EQ(x_published, 2);
  EXPECT_EQ(run("--sysctl conn_reuse_mode"), "net.ipv4.vs.conn_reuse_mode = 0\n");
  EXPECT_EQ(run("--sysctl conn_reuse_mode --json"), "{\"conn_reuse_mode\":0}\n");
  EXPECT_TRUE(run("--sysctl --json").starts_with("{\"am_droprate\":10,\"amemthresh\":1024,"));
  EXPECT_EQ(run("--sysctl drop_entry=4"),
            "ERR '4' is no value of drop_entry, which is a number from 0 to 3\n");
  EXPECT_EQ(x_status, 255);
  EXPECT_EQ(run("--sysctl sync_ports"),
            "ERR 'sync_ports' means nothing here: there is no connection synchronization yet\n");
  EXPECT_EQ(x_status, 255);
  EXPECT_EQ(run("--sysctl drop_entry=3 -n"),
            "ERR Illegal 'numeric' option with the 'sysctl' command\n");
  EXPECT_EQ(x_status, 2);
  EXPECT_EQ(run("-R", "--sysctl drop_entry=3\n--sysctl drop_entry\n"),
            "net.ipv4.vs.drop_entry = 3\n");
  auto rules = x_executor.load_rules("--sysctl drop_entry=1\n", "f", ipvs::numeric_names());
  EXPECT_TRUE(rules);
  EXPECT_EQ(run("--sysctl drop_entry"), "net.ipv4.vs.drop_entry = 1\n");
  EXPECT_TRUE(x_executor.load_rules("", "f", ipvs::numeric_names()));
  EXPECT_EQ(run("--sysctl drop_entry"), "net.ipv4.vs.drop_entry = 1\n") << "as timeouts stay";
}

TEST_F(ExecutorTest, ListsInEveryFormat) {
  run("-A -t 10.0.0.1:80 -s rr");
  run("-a -t 10.0.0.1:80 -r 10.1.0.1 -m");
  x_facts[0] = {2, 3, 4, {}};
  EXPECT_EQ(run("-L -n -t 10.0.0.1:80 --persistent-conn"),
            "Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn \n"
            "  -> RemoteAddress:Port\n"
            "TCP  10.0.0.1:80 rr\n"
            "  -> 10.1.0.1:80                  1         4           2          3         \n");
  EXPECT_EQ(run("-L -n -t 10.0.0.1:80 --thresholds"),
            "Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn \n"
            "  -> RemoteAddress:Port\n"
            "TCP  10.0.0.1:80 rr\n"
            "  -> 10.1.0.1:80                  0          0          2          3         \n");
  EXPECT_EQ(run("-L -n -t 10.0.0.1:80 --tun-info"),
            "Prot LocalAddress:Port Scheduler Flags\n"
            "  -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn\n"
            "TCP  10.0.0.1:80 rr\n"
            "  -> 10.1.0.1:80                  Masq    n/a           1      2          3         "
            "\n");
}

TEST_F(ExecutorTest, EstimatesNoRatesWithoutRunEstimation) {
  run("-A -t 10.0.0.1:80 -s rr");
  run("-a -t 10.0.0.1:80 -r 10.1.0.1 -m");
  x_facts[0].totals = {1000, 0, 0, 0, 0};
  run("--sysctl run_estimation=0");
  x_executor.tick();
  EXPECT_NE(run("-L -n --rate").find("10.1.0.1:80                         0 "), std::string::npos);
  EXPECT_NE(run("-L -n --stats").find("10.1.0.1:80                      1000 "), std::string::npos);
  run("--sysctl run_estimation=1");
  x_executor.tick();
  EXPECT_NE(run("-L -n --rate").find("10.1.0.1:80                       125 "), std::string::npos)
      << run("-L -n --rate");
}

TEST_F(ExecutorTest, HasNoSynchronizationDaemons) {
  EXPECT_EQ(run("-L --daemon"), "");
  EXPECT_EQ(x_status, 0);
  EXPECT_EQ(run("-L --daemon --json"), "{\"daemons\":[]}\n");
  EXPECT_EQ(run("--stop-daemon master"), "ERR No daemon is running\n");
  EXPECT_EQ(x_status, 255);
  EXPECT_EQ(run("--stop-daemon backup --syncid 3"), "ERR No daemon is running\n");
}

TEST_F(ExecutorTest, LoadsRules) {
  run("-A -t 10.0.0.9:80 -s rr");
  auto bad = x_executor.load_rules("-A -t 10.0.0.1:80 -s rr\nx\n", "f", ipvs::numeric_names());
  EXPECT_FALSE(bad);
  EXPECT_EQ(x_published, 1);
  auto good = x_executor.load_rules("-A -t 10.0.0.1:80 -s rr\n", "f", ipvs::numeric_names());
  EXPECT_TRUE(good);
  EXPECT_EQ(x_published, 2);
  EXPECT_EQ(run("-S -n"), "-A -t 10.0.0.1:80 -s rr\n");
}

TEST_F(ExecutorTest, NeverLooksNamesUp) {
  auto reply = ipvs::decode_reply(
      x_executor.answer(R"({"commands":[["-A","-t","localhost:80","-s","rr"]]})"));
  ASSERT_TRUE(reply);
  ASSERT_EQ(reply->errors.size(), 1u);
  EXPECT_EQ(reply->errors[0].message, "illegal virtual server address[:port] specified");
}

TEST_F(ExecutorTest, LongRequestsAreAnsweredInSlices) {
  std::string reply;
  auto lines = begin(services(0, 3000));
  EXPECT_GE(finish(*lines, &reply), 6);
  EXPECT_EQ(reply, "{\"errors\":[]}");
  EXPECT_EQ(x_configuration.services().size(), 3000u);
  EXPECT_GE(x_published, 5) << "workers hear of it slice by slice";
  std::string more = "-A -t 10.9.0.1:80 -s rr\n";
  for (int i = 0; i < 4200; i++)
    more += "-a -t 10.9.0.1:80 -r 10.2." + std::to_string(i / 250) + "." + std::to_string(i % 250) +
            "\n";
  EXPECT_GE(finish(*begin(more)), 4);
  EXPECT_EQ(x_configuration.find({0, 6, {*parse_address("10.9.0.1"), 80}})->servers.size(), 4200u);
  std::string listing;
  EXPECT_GE(finish(*begin("-L -n"), &listing), 5);
  EXPECT_EQ(ipvs::decode_reply(listing)->services->size(), 3001u);
  x_sessions = 5000;
  EXPECT_GE(finish(*begin("-L -c"), &listing), 5);
  EXPECT_EQ(ipvs::decode_reply(listing)->sessions->size(), 5000u);
  EXPECT_GE(finish(*begin("-Z")), 3);
  x_published = 0;
  EXPECT_GE(finish(*begin("-C")), 6);
  EXPECT_EQ(x_published, 1);
  EXPECT_TRUE(x_configuration.services().empty());
  EXPECT_EQ(run("-L -n").find("TCP"), std::string::npos);
}

TEST_F(ExecutorTest, SlicesAreBoundedInSteps) {
  for (size_t count : {kSliceSteps / 2 - 1, kSliceSteps / 2, kSliceSteps / 2 + 1}) {
    run("-C");
    auto lines = begin(services(0, static_cast<int>(count)));
    std::string text;
    // The clock may end a slice before the steps do; it never has more of them.
    lines->work(text);
    EXPECT_LE(x_configuration.services().size(), kSliceSteps / 2);
    finish(*lines);
    EXPECT_EQ(x_configuration.services().size(), count);
  }
}

TEST_F(ExecutorTest, ErrorsOfManySlicesStayInOrder) {
  std::string lines, reply;
  for (int i = 0; i < 5000; i++) lines += i % 2 ? "-a -t 10.0.0.1:80 -r 10.1.0.1\n" : "-A -t x\n";
  finish(*begin(lines), &reply);
  auto decoded = ipvs::decode_reply(reply);
  ASSERT_TRUE(decoded);
  ASSERT_EQ(decoded->errors.size(), 5000u);
  for (size_t i = 0; i < 5000; i++) {
    EXPECT_EQ(decoded->errors[i].index, i);
    EXPECT_EQ(decoded->errors[i].status, i % 2 ? 255 : 2);
  }
}

TEST_F(ExecutorTest, AnAtomicRequestIsSeenWholeOrNotAtAll) {
  run("-A -t 10.0.0.1:80 -s rr");
  run("-a -t 10.0.0.1:80 -r 10.1.0.9 -m");
  run("--set 100 0 0");
  x_facts[0].totals.connections = 7;
  const std::string before = run("-L -n --stats") + run("-L --timeout") + run("--sysctl");
  x_published = 0;
  auto atomic = begin("-C\n--set 5 5 5\n--sysctl drop_entry=1\n" + services(0, 2000), true);
  std::string text;
  int reads = 0;
  for (Progress progress = Progress::kMore; progress != Progress::kDone;) {
    progress = atomic->work(text);
    if (x_published != 0) continue;
    EXPECT_EQ(run("-L -n --stats") + run("-L --timeout") + run("--sysctl"), before);
    EXPECT_EQ(run("-L -n -t 10.0.0.2:80"), "ERR No such service\n");
    reads++;
  }
  EXPECT_GE(reads, 5);
  EXPECT_EQ(text, "{\"errors\":[]}");
  EXPECT_EQ(x_published, 1);
  EXPECT_EQ(x_configuration.services().size(), 2000u);
  EXPECT_EQ(run("-L --timeout"), "Timeout (tcp tcpfin udp): 5 5 5\n");
  EXPECT_NE(run("-L -n").find("10.1.0.1:80"), std::string::npos);
  EXPECT_EQ(run("-L -n").find("10.1.0.9:80"), std::string::npos);
}

TEST_F(ExecutorTest, EditsWaitForAnAtomicRequest) {
  auto atomic = begin(services(0, 2000), true);
  std::string text, other;
  ASSERT_EQ(atomic->work(text), Progress::kMore);
  auto edit = begin("-A -t 10.0.0.1:80 -s mh");
  auto second = begin("-A -t 10.9.0.1:80 -s rr\n", true);
  auto listing = begin("-L");
  EXPECT_EQ(edit->work(other), Progress::kWaits);
  EXPECT_EQ(second->work(other), Progress::kWaits);
  EXPECT_EQ(other, "");
  EXPECT_EQ(listing->work(other), Progress::kDone) << "reads do not";
  finish(*atomic);
  other.clear();
  EXPECT_EQ(edit->work(other), Progress::kDone);
  EXPECT_NE(other.find("Service already exists"), std::string::npos) << other;
  EXPECT_EQ(second->work(other), Progress::kDone);
  EXPECT_EQ(x_configuration.services().size(), 2001u);
}

TEST_F(ExecutorTest, WhatCannotWaitFinishesAnAtomicRequest) {
  auto atomic = begin(services(0, 2000), true);
  std::string text;
  ASSERT_EQ(atomic->work(text), Progress::kMore);
  EXPECT_EQ(run("-A -t 10.9.0.1:80 -s rr"), "");
  EXPECT_EQ(x_configuration.services().size(), 2001u);
  EXPECT_EQ(atomic->work(text), Progress::kDone);
  EXPECT_EQ(text, "{\"errors\":[]}");
  text.clear();
  auto next = begin(services(3000, 2000), true);
  ASSERT_EQ(next->work(text), Progress::kMore);
  EXPECT_TRUE(x_executor.load_rules("-A -t 10.0.0.9:80 -s rr\n", "f", ipvs::numeric_names()));
  EXPECT_EQ(run("-S -n"), "-A -t 10.0.0.9:80 -s rr\n");
}

TEST_F(ExecutorTest, ARefusedOrDroppedAtomicRequestLeavesNothing) {
  run("-R", services(0, 500) + "-D -t 10.0.0.3:80\n");
  const std::string before = run("-S -n");
  auto table = x_table;
  x_published = 0;
  const std::string lines = "-C\n--set 9 9 9\n" + services(0, 2000);
  std::string text;
  EXPECT_GE(finish(*begin(lines + "-D -t 10.9.9.9:80\n", true), &text), 5);
  EXPECT_NE(text.find("\"index\":4002,\"status\":255,\"message\":\"No such service\""), text.npos)
      << text;
  EXPECT_EQ(run("-S -n"), before);
  {
    auto dropped = begin(lines, true);
    for (int i = 0; i < 3; i++) ASSERT_EQ(dropped->work(text), Progress::kMore);
  }
  EXPECT_EQ(run("-S -n"), before);
  EXPECT_NE(run("-L --timeout").find("900"), std::string::npos);
  EXPECT_EQ(x_published, 0);
  EXPECT_EQ(x_configuration.table(), table);
  EXPECT_EQ(run("-A -t 10.9.0.1:80 -s rr"), "") << "others may edit";
}

TEST_F(ExecutorTest, AnAtomicRequestNamesTheLineThatDoesNotCompile) {
  std::string lines = "-A -t 10.0.0.1:80 -s mh\n-A -t 10.0.0.2:80 -s rr\n", text;
  for (int i = 0; i < 4200; i++)
    lines += "-a -t 10.0.0.1:80 -r 10.2." + std::to_string(i / 250) + "." +
             std::to_string(i % 250) + "\n";
  finish(*begin(lines + "--set 1 1 1\n", true), &text);
  EXPECT_NE(text.find("\"index\":4201,"), text.npos) << text;
  EXPECT_NE(text.find("has room for 4093"), text.npos) << text;
  EXPECT_TRUE(x_configuration.services().empty());
}

TEST_F(ExecutorTest, AListingGoesOnWhenItsServiceIsEdited) {
  run(
      "-R", services(0, 5) + [] {
        std::string lines;
        for (int i = 0; i < 3000; i++)
          lines += "-a -t 10.0.0.2:80 -r 10.2." + std::to_string(i / 250) + "." +
                   std::to_string(i % 250) + "\n";
        return lines;
      }());
  auto listing = begin("-L");
  std::string text;
  ASSERT_EQ(listing->work(text), Progress::kMore);
  run("-D -t 10.0.0.2:80");
  run("-D -t 10.0.0.3:80");
  finish(*listing, &text);
  EXPECT_NE(text.find("\"address\":\"10.0.0.4\""), text.npos) << "services behind it come";
  EXPECT_EQ(text.find("\"address\":\"10.0.0.3\""), text.npos);
}

TEST_F(ExecutorTest, AnswersAnything) {
  for (const char* line :
       {"", "garbage", "{}", R"({"commands":[]})", R"({"commands":[[]]})",
        R"({"commands":[["-R"]]})", R"({"commands":[["-h"]]})", R"({"commands":[["-L"],["-L"]]})",
        R"({"commands":[["-L"]],"atomic":true})", R"({"commands":[["--stop-daemon","master"]]})"}) {
    auto reply = ipvs::decode_reply(x_executor.answer(line));
    EXPECT_TRUE(reply) << line;
  }
  EXPECT_EQ(x_published, 0);
}

}  // namespace
}  // namespace shunt::control
