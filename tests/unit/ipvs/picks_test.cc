// Every pick of Linux's mh, sh and dh recorded in tests/golden/picks (format: the README there),
// recomputed.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "unit/ipvs/services.h"

namespace shunt::ipvs {
namespace {

std::vector<std::string> split(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (;;) {
    size_t end = text.find(separator, begin);
    parts.push_back(text.substr(begin, end - begin));
    if (end == std::string::npos) return parts;
    begin = end + separator.size();
  }
}

struct Column {
  std::string name;
  std::string command;  ///< the edit before its packets; "" for none
};

/// What the first two lines of a file say.
struct Recording {
  Service service;
  std::vector<Column> columns;
};

std::string server_address(Family family, int n) {
  if (family == Family::kV4) return "10.1.0." + std::to_string(n);
  char text[32];
  std::snprintf(text, sizeof text, "2001:db8:1::%x", n);
  return text;
}

/// The server's number stands in the address's last byte.
uint32_t number(const Address& address) {
  return address.bytes[address.size() - 1];
}

Recording read_header(const std::string& comment, const std::string& titles) {
  auto parts = split(comment, "; ");
  Recording recording;
  std::istringstream words(parts.at(0));
  std::string hash, protocol, family_name, option, scheduler, flags;
  words >> hash >> protocol >> family_name >> option >> scheduler >> option >> flags;
  const Family family = family_name == "v6" ? Family::kV6 : Family::kV4;
  recording.service = service_at(family == Family::kV4 ? "198.51.100.1" : "2001:db8:f::1", 80,
                                 protocol == "-u" ? net::kUdp : net::kTcp);
  recording.service.scheduler = find_scheduler(scheduler);
  for (const auto& flag : split(flags, ",")) {
    if (flag.ends_with("-fallback")) recording.service.flags |= kSchedFlag1;
    if (flag.ends_with("-port")) recording.service.flags |= kSchedFlag2;
  }

  for (const auto& server : split(split(parts.at(1), ": ").at(1), ", ")) {
    int n, weight, port;
    if (std::sscanf(server.c_str(), "%d %d %d", &n, &weight, &port) != 3)
      throw std::runtime_error("what server is " + server);
    add(recording.service, server_at(n, server_address(family, n), port, weight));
  }

  auto names = split(titles, ",");
  for (size_t i = 2; i < names.size(); i++) {
    Column column{names[i], ""};
    const std::string title = "column " + names[i] + ": ";
    for (const auto& part : parts)
      if (part.starts_with(title)) column.command = part.substr(title.size());
    if (column.name != "before" && column.command.empty())
      throw std::runtime_error("no command for column " + column.name);
    recording.columns.push_back(column);
  }
  return recording;
}

/// "ipvsadm -a|-d|-e SVC -r ADDRESS:PORT [-m] [-w WEIGHT]"
void apply(Service& service, const std::string& line) {
  std::istringstream words(line);
  std::string program, command, key, option, endpoint;
  words >> program >> command >> key >> option >> endpoint;
  const size_t colon = endpoint.rfind(':');
  if (program != "ipvsadm" || key != "SVC" || option != "-r" || colon == std::string::npos)
    throw std::runtime_error("what is " + line);
  int weight = 1;
  while (words >> option)
    if (option == "-w") words >> weight;
  const std::string address = endpoint.substr(0, colon);
  const uint32_t n = number(*parse_address(address));
  if (command == "-a")
    add(service, server_at(n, address, std::stoi(endpoint.substr(colon + 1)), weight));
  else if (command == "-d")
    remove(service, n);
  else if (command == "-e")
    set_weight(service, n, weight);
  else
    throw std::runtime_error("what is " + line);
}

/// How many picks were compared; every difference is a failure.
int compare(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string comment, titles, line;
  std::getline(file, comment);
  std::getline(file, titles);
  Recording recording = read_header(comment, titles);
  EXPECT_NE(recording.service.scheduler, nullptr);
  if (!recording.service.scheduler) return 0;

  std::vector<Service> services;
  for (const Column& column : recording.columns) {
    Service service = recording.service;
    if (!column.command.empty()) apply(service, column.command);
    EXPECT_TRUE(service.scheduler->build(service, {}));
    services.push_back(service);
  }
  int compared = 0;
  while (std::getline(file, line)) {
    auto cells = split(line, ",");
    Address address = *parse_address(cells.at(0));
    const uint32_t folded = address.is_v4() ? fold(address.v4()) : fold(address.v6());
    const bool by_vip = titles.starts_with("vip,");
    Flow flow = {.client = by_vip ? 1 : folded,
                 .virtual_address = by_vip ? folded : 1,
                 .client_port = static_cast<uint16_t>(std::stoi(cells.at(1))),
                 .virtual_port = 80};
    for (size_t i = 0; i < services.size(); i++, compared++) {
      SchedulerState state;
      Pick pick = services[i].scheduler->pick(services[i], state, flow, idle());
      EXPECT_EQ(std::to_string(picked(services[i], pick)), cells.at(2 + i))
          << path.filename() << " column " << recording.columns[i].name << ": " << line;
    }
  }
  return compared;
}

TEST(Picks, AreLinuxs) {
  int files = 0, compared = 0;
  for (const auto& entry : std::filesystem::directory_iterator(GOLDEN_PICKS)) {
    if (entry.path().extension() != ".csv") continue;
    SCOPED_TRACE(entry.path().filename());
    int picks = compare(entry.path());
    EXPECT_GT(picks, 0);
    compared += picks;
    files++;
  }
  EXPECT_GT(files, 0) << "no recordings in " << GOLDEN_PICKS;
  RecordProperty("files", files);
  RecordProperty("picks", compared);
  std::printf("%d picks of %d recordings\n", compared, files);
}

}  // namespace
}  // namespace shunt::ipvs
