#include "ipvs/knobs.h"

#include <gtest/gtest.h>

#include <set>

namespace shunt::ipvs {
namespace {

TEST(Knobs, DefaultsAreTheKernels) {
  // /proc/sys/net/ipv4/vs of Linux 6.1.
  const std::pair<const char*, int> kRecorded[] = {
      {"am_droprate", 10},        {"amemthresh", 1024},
      {"cache_bypass", 0},        {"conn_reuse_mode", 1},
      {"drop_entry", 0},          {"drop_packet", 0},
      {"expire_nodest_conn", 0},  {"expire_quiescent_template", 0},
      {"lblc_expiration", 86400}, {"lblcr_expiration", 86400},
      {"nat_icmp_send", 0},       {"pmtu_disc", 1},
      {"run_estimation", 1},      {"schedule_icmp", 0},
      {"secure_tcp", 0},          {"sloppy_sctp", 0},
      {"sloppy_tcp", 0}};
  Knobs knobs;
  for (auto [name, value] : kRecorded) {
    auto knob = parse_knob(name);
    ASSERT_TRUE(knob) << name;
    EXPECT_EQ(row(*knob).name, name);
    EXPECT_EQ(knobs.of(*knob), value) << name;
  }
  EXPECT_EQ(std::size(kRecorded), static_cast<size_t>(kKnobs));
}

TEST(Knobs, EverySysctlOfTheKernelIsKnownOnce) {
  std::set<std::string_view> names;
  for (const KnobRow& one : kKnobTable) names.insert(one.name);
  for (const ForeignKnobRow& one : kForeignKnobTable) {
    EXPECT_TRUE(names.insert(one.name).second) << one.name;
    auto refused = parse_knob(one.name);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().status, 255);
    EXPECT_NE(refused.error().message.find(one.reason), std::string::npos);
  }
  EXPECT_EQ(names.size(), 30u);
}

TEST(Knobs, SettingsAreReadAsSysctlWritesThem) {
  for (const char* text : {"drop_entry=3", "drop_entry = 3", " net.ipv4.vs.drop_entry =3 ",
                           "net/ipv4/vs/drop_entry=3"})
    EXPECT_EQ(parse_knob_setting(text).value(), (KnobSetting{Knob::kDropEntry, 3})) << text;
  EXPECT_EQ(parse_knob_setting("amemthresh=-1").value(), (KnobSetting{Knob::kAmemthresh, -1}));
  EXPECT_EQ(parse_knob_setting("pmtu_disc=1").value(), (KnobSetting{Knob::kPmtuDisc, 1}));
}

TEST(Knobs, WhatIsNoSettingIsRefusedWithASentence) {
  const std::pair<const char*, const char*> kRows[] = {
      {"drop_entry=4", "'4' is no value of drop_entry, which is a number from 0 to 3"},
      {"drop_entry=-1", "'-1' is no value of drop_entry, which is a number from 0 to 3"},
      {"drop_entry=", "'' is no value of drop_entry, which is a number from 0 to 3"},
      {"drop_entry", "'' is no value of drop_entry, which is a number from 0 to 3"},
      {"drop_entry=3x", "'3x' is no value of drop_entry, which is a number from 0 to 3"},
      {"sloppy_tcp=4294967296",
       "'4294967296' is no value of sloppy_tcp, which is a number from "
       "-2147483648 to 2147483647"},
      {"cache_bypass=1",
       "'1' is no value of cache_bypass: only packets to local addresses are balanced, and it is "
       "about others, so it stays 0"},
      {"conntrack=1",
       "'conntrack' means nothing here: balanced packets do not pass through Linux "
       "and its connection tracking"},
      {"drop=1", "there is no knob 'drop'; --sysctl alone lists them all"},
      {"=1", "there is no knob ''; --sysctl alone lists them all"},
      {"", "there is no knob ''; --sysctl alone lists them all"}};
  for (auto [text, sentence] : kRows) {
    auto setting = parse_knob_setting(text);
    ASSERT_FALSE(setting) << text;
    EXPECT_EQ(setting.error().message, sentence);
    EXPECT_EQ(setting.error().status, 255);
  }
}

TEST(Knobs, Texts) {
  EXPECT_EQ(knob_text(Knob::kAmDroprate, -3), "net.ipv4.vs.am_droprate = -3");
  Knobs knobs;
  EXPECT_EQ(knob_rules(knobs), "");
  knobs.set(Knob::kSloppyTcp, 1);
  knobs.set(Knob::kConnReuseMode, 0);
  EXPECT_EQ(knob_rules(knobs), "--sysctl conn_reuse_mode=0\n--sysctl sloppy_tcp=1\n");
}

}  // namespace
}  // namespace shunt::ipvs
