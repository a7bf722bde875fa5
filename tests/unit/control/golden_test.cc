// Replays sessions recorded from the real ipvsadm (tests/golden/ipvsadm/README.md): words through
// the parser, the executor and the listings, compared with what it printed.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "control/everything.h"
#include "control/executor.h"
#include "ipvs/ipvsadm.h"
#include "net/headers.h"

namespace shunt::control {
namespace {

using Lines = std::vector<std::string>;

struct Step {
  std::string line;
  Lines out, err;
  int status = 0;
};

std::vector<Step> read_case(const std::filesystem::path& path) {
  std::vector<Step> steps;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("$ ")) steps.push_back({line.substr(2), {}, {}, 0});
    if (line.starts_with("1|")) steps.back().out.push_back(line.substr(2));
    if (line.starts_with("2|")) steps.back().err.push_back(line.substr(2));
    if (line.starts_with("=")) steps.back().status = std::stoi(line.substr(1));
  }
  return steps;
}

/// The hosts and services of the machine that recorded.
ipvs::Names recorded_names() {
  struct Host {
    const char* name;
    Ipv4 address;
  };
  static const Host hosts[] = {
      {"localhost", {{127, 0, 0, 1}}},
      {"an-extraordinarily-long-host-name.with.a-long.domain.example.org", {{10, 7, 7, 7}}},
      {"server-of-thirty-chars.example", {{10, 7, 7, 8}}}};
  struct Port {
    const char* name;
    uint16_t port;
    bool tcp, udp;
  };
  static const Port ports[] = {{"http", 80, true, false},      {"https", 443, true, true},
                               {"domain", 53, true, true},     {"ssh", 22, true, false},
                               {"http-alt", 8080, true, true}, {"sip", 5060, true, true}};
  auto is = [](const Port& port, uint8_t protocol) {
    return (protocol == net::kTcp && port.tcp) || (protocol == net::kUdp && port.udp);
  };
  ipvs::Names names;
  names.address = [](const std::string& name) -> std::optional<Ipv4> {
    for (const Host& host : hosts)
      if (name == host.name) return host.address;
    return std::nullopt;
  };
  names.host = [](const Address& address) -> std::optional<std::string> {
    for (const Host& host : hosts)
      if (address == Address(host.address)) return host.name;
    return std::nullopt;
  };
  names.port = [is](const std::string& name, uint8_t protocol) -> std::optional<uint16_t> {
    for (const Port& port : ports)
      if (name == port.name && is(port, protocol)) return port.port;
    return std::nullopt;
  };
  names.service = [is](uint16_t number, uint8_t protocol) -> std::optional<std::string> {
    for (const Port& port : ports)
      if (number == port.port && is(port, protocol)) return port.name;
    return std::nullopt;
  };
  return names;
}

/// Splits as the shell does, with single and double quotes.
Lines shell_words(const std::string& line) {
  Lines words;
  bool open = false;
  char quote = 0;
  for (char c : line) {
    if (quote ? c == quote : (c == '\'' || c == '"')) {
      quote = quote ? 0 : c;
      if (!open) words.emplace_back();
      open = true;
    } else if (c == ' ' && !quote) {
      open = false;
    } else {
      if (!open) words.emplace_back();
      open = true;
      words.back() += c;
    }
  }
  return words;
}

/// printf's %b.
std::string unescape(const std::string& text) {
  std::string result;
  for (size_t i = 0; i < text.size(); i++) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      result += text[i];
      continue;
    }
    switch (text[++i]) {
      case 'n':
        result += '\n';
        break;
      case 't':
        result += '\t';
        break;
      case 'r':
        result += '\r';
        break;
      default:
        result += text[i];
    }
  }
  return result;
}

/// What follows `prefix`, if it is there.
std::optional<std::string> after(const std::string& text, const std::string& prefix) {
  if (!text.starts_with(prefix)) return std::nullopt;
  return text.substr(prefix.size());
}

std::string unescape_quotes(std::string text) {
  for (size_t at = 0; (at = text.find("\\\"", at)) != text.npos; at++) text.erase(at, 1);
  return text;
}

/// Lines of a rules file without "-x N" and "-y N".
std::string without_thresholds(const std::string& rules) {
  std::string result;
  std::istringstream in(rules);
  for (std::string line; std::getline(in, line); result += line + "\n") {
    if (!line.starts_with("-a ")) continue;
    for (const char* option : {" -x ", " -y "})
      if (size_t at = line.find(option); at != line.npos)
        line.erase(at, line.find(' ', at + 4) - at);
  }
  return result;
}

/// What the shell would have run.
struct Invocation {
  Lines arguments;
  std::string input;
  std::string save_as;     ///< "| tee FILE"
  std::string same_as;     ///< "| cmp - FILE && echo same"
  size_t head = SIZE_MAX;  ///< "| head -N": lines
};

class Session {
 public:
  explicit Session(const ipvs::Engine& engine)
      : x_configuration(engine),
        x_executor(x_configuration,
                   {[](uint32_t) { return ServerFacts{}; },
                    [](uint64_t&, size_t) { return std::vector<ipvs::SessionRecord>{}; },
                    [](std::shared_ptr<const ipvs::ServiceTable>, const ipvs::Timeouts&) {}}) {}

  /// None for what is not ours to replay.
  std::optional<Invocation> understand(const std::string& line) const {
    Invocation invocation;
    size_t bar = line.find(" | ");
    std::string left = line.substr(0, bar);
    std::string right = bar == line.npos ? "" : line.substr(bar + 3);
    if (after(right, "ipvsadm")) {
      if (auto text = after(left, "printf '%b' "))
        // The shell that recorded has left a backslash before quotes.
        invocation.input = unescape(unescape_quotes(shell_words(*text)[0]));
      else if (auto lines = after(left, "printf '%s\\n' "))
        for (const std::string& word : shell_words(*lines)) invocation.input += word + "\n";
      else if (auto words = after(left, "echo "))
        invocation.input = *words + "\n";
      else
        return std::nullopt;
      invocation.arguments = shell_words(*after(right, "ipvsadm"));
    } else if (auto rest = after(left, "ipvsadm")) {
      bool save = rest->starts_with("-save ");
      if (!save && !rest->empty() && (*rest)[0] != ' ') return std::nullopt;
      if (save) rest = after(*rest, "-save");
      size_t from = rest->find('<');
      if (from != rest->npos) {
        auto file = x_files.find(rest->substr(from + 1));
        invocation.input = file == x_files.end() ? "" : file->second;
        rest->resize(from);
      }
      invocation.arguments = shell_words(*rest);
      if (save) invocation.arguments.insert(invocation.arguments.begin(), "-S");
      if (auto file = after(right, "tee "))
        invocation.save_as = *file;
      else if (right == "cmp - /run/saved && echo same")
        invocation.same_as = "/run/saved";
      else if (auto count = after(right, "head -"))
        invocation.head = std::stoul(*count);
      else if (!right.empty())
        return std::nullopt;
    } else {
      return std::nullopt;
    }
    return invocation;
  }

  /// Is it about a synchronization daemon, of which this session has started one?
  bool needs_daemon(const Invocation& invocation) {
    auto command = ipvs::parse_command(invocation.arguments, "ipvsadm", x_names);
    if (!command) return false;
    x_daemons |= command->verb == ipvs::Verb::kStartDaemon;
    return x_daemons &&
           (command->verb == ipvs::Verb::kStartDaemon || command->verb == ipvs::Verb::kStopDaemon ||
            command->has(ipvs::Option::kDaemon));
  }

  int run(const Invocation& invocation, std::string& out, std::string& err) {
    std::istringstream in(invocation.input);
    std::ostringstream out_stream, err_stream;
    // Through the text of the protocol, as over the socket.
    auto exchange = [&](const ipvs::Request& request) -> Result<ipvs::Reply> {
      return ipvs::decode_reply(x_executor.answer(encode(request)));
    };
    int status = ipvs::run_ipvsadm(invocation.arguments, "ipvsadm", x_names, exchange,
                                   {in, out_stream, err_stream});
    out = out_stream.str();
    err = err_stream.str();
    // ipvsadm forgets thresholds; keep ours out of the comparison, but in the saved file.
    std::string forgetful = without_thresholds(out);
    if (!invocation.same_as.empty()) {
      auto saved = x_files.find(invocation.same_as);
      out = saved != x_files.end() && saved->second == out ? "same\n" : "different\n";
    } else {
      if (!invocation.save_as.empty()) x_files[invocation.save_as] = out;
      out = forgetful;
    }
    if (invocation.head != SIZE_MAX) {
      size_t end = 0;
      for (size_t i = 0; i < invocation.head && end != out.npos; i++) end = out.find('\n', end) + 1;
      out.resize(end);
    }
    return status;
  }

  /// Runs the whole case; false if it needs something that is not built yet.
  bool replay(const std::vector<Step>& steps, bool ordered, int& replayed) {
    for (const Step& step : steps) {
      auto invocation = understand(step.line);
      if (!invocation || needs_daemon(*invocation)) continue;
      std::string out, err;
      int status = run(*invocation, out, err);
      if (err.find("not built yet: ") != err.npos) return false;
      auto lines = [&](const std::string& text) {
        Lines result;
        std::istringstream in(text);
        for (std::string line; std::getline(in, line);) result.push_back(line);
        if (!ordered) std::sort(result.begin(), result.end());
        return result;
      };
      Lines expected = step.out;
      if (!ordered) std::sort(expected.begin(), expected.end());
      EXPECT_EQ(lines(out), expected) << step.line;
      Lines expected_errors = step.err;
      if (!ordered) std::sort(expected_errors.begin(), expected_errors.end());
      EXPECT_EQ(lines(err), expected_errors) << step.line;
      EXPECT_EQ(status, step.status) << step.line;
      replayed++;
    }
    return true;
  }

 private:
  ipvs::Names x_names = recorded_names();
  ipvs::Configuration x_configuration;
  Executor x_executor;
  std::map<std::string, std::string> x_files;
  bool x_daemons = false;
};

std::vector<std::filesystem::path> cases() {
  static const std::set<std::string> kLeftOut = {"016-sched-twos", "076-no-root", "077-many"};
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(GOLDEN_IPVSADM))
    if (entry.path().extension() == ".txt" && !kLeftOut.contains(entry.path().stem()))
      paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  return paths;
}

bool is_ordered(const std::filesystem::path& path) {
  return path.stem() != "100-sort-services" && path.stem() != "105-addresses";
}

TEST(Golden, LanguageAnswersAsIpvsadmDid) {
  int replayed = 0;
  for (const auto& path : cases()) {
    SCOPED_TRACE(path.stem());
    EXPECT_TRUE(Session(everything()).replay(read_case(path), is_ordered(path), replayed));
  }
  EXPECT_GE(replayed, 600);
}

TEST(Golden, ShuntAnswersAsIpvsadmDid) {
  int replayed = 0;
  for (const auto& path : cases()) {
    SCOPED_TRACE(path.stem());
    EXPECT_TRUE(Session(ipvs::kEngine).replay(read_case(path), is_ordered(path), replayed));
  }
  EXPECT_GE(replayed, 600);
}

TEST(Golden, ManyServices) {
  std::string rules;
  for (int i = 1; i <= 200; i++) {
    std::string service = "10.0." + std::to_string(i % 4) + "." + std::to_string(i) + ":80";
    rules += "-A -t " + service + " -s rr\n";
    for (int j = 1; j <= 5; j++)
      rules += "-a -t " + service + " -r 10.1." + std::to_string(j) + "." + std::to_string(i) +
               ":80 -m -w " + std::to_string(j) + "\n";
  }
  Session session(ipvs::kEngine);
  std::string out, err;
  EXPECT_EQ(session.run({{"-R"}, rules, "", "", SIZE_MAX}, out, err), 0);
  EXPECT_EQ(out + err, "");
  EXPECT_EQ(session.run({{"-Ln"}, "", "", "", SIZE_MAX}, out, err), 0);
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 1203);
  session.run({{"-S", "-n"}, "", "", "", 3}, out, err);
  EXPECT_EQ(out,
            "-A -t 10.0.0.4:80 -s rr\n-a -t 10.0.0.4:80 -r 10.1.1.4:80 -m -w 1\n"
            "-a -t 10.0.0.4:80 -r 10.1.2.4:80 -m -w 2\n");
}

}  // namespace
}  // namespace shunt::control
