// The appliances that frames_fuzz sends its frames through: rules with every method of forwarding
// and every kind of service, one worker and two, tables that are full, small MTUs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "frame_source.h"
#include "worker_rig.h"

namespace shunt::fuzz {

inline constexpr char kSceneRules[] =
    "-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.1:8080 -m\n"
    "-a -t 198.51.100.1:80 -r 10.1.0.2:8080 -m -x 3 -y 1\n"
    "-A -u 198.51.100.1:53 -s rr\n-a -u 198.51.100.1:53 -r 10.1.0.1:53 -m\n"
    "-A --sctp-service 198.51.100.1:80 -s rr\n"
    "-a --sctp-service 198.51.100.1:80 -r 10.1.0.1:8080 -m\n"
    "-A -t 198.51.100.2:80 -s mh\n-a -t 198.51.100.2:80 -r 10.2.0.1:80 -g\n"
    "-A -u 198.51.100.2:53 -s mh\n-a -u 198.51.100.2:53 -r 10.2.0.1:53 -g\n"
    "-A -t 198.51.100.3:80 -s rr\n-a -t 198.51.100.3:80 -r 10.3.0.1:80 -i\n"
    "-a -t 198.51.100.3:80 -r 10.3.0.2:80 -i --tun-type gre --tun-csum\n"
    "-a -t 198.51.100.3:80 -r 10.3.0.3:80 -i --tun-type gue --tun-port 6080 --tun-csum\n"
    "-a -t 198.51.100.3:80 -r 10.3.0.4:80 -i --tun-type gue --tun-port 6080 --tun-nocsum\n"
    "-A -u 198.51.100.3:53 -s rr\n-a -u 198.51.100.3:53 -r 10.3.0.1:53 -i\n"
    "-a -u 198.51.100.3:53 -r [2001:db8:3::1]:53 -i\n"
    "-A -t 198.51.100.4:0 -s rr -p 60 -M 255.255.255.0\n"
    "-a -t 198.51.100.4:0 -r 10.4.0.1:0 -m\n-a -t 198.51.100.4:0 -r 10.4.0.2:0 -m\n"
    "-A -u 198.51.100.4:5060 -s rr -p 60 --pe sip\n"
    "-a -u 198.51.100.4:5060 -r 10.4.0.1:5060 -m\n-a -u 198.51.100.4:5060 -r 10.4.0.2:5060 -m\n"
    "-A -t 198.51.100.5:21 -s rr\n-a -t 198.51.100.5:21 -r 10.5.0.1:21 -m\n"
    "-A -u 198.51.100.6:53 -s maglev -o\n-a -u 198.51.100.6:53 -r 10.6.0.1:53 -g\n"
    "-a -u 198.51.100.6:53 -r 10.6.0.2:53 -g\n-a -u 198.51.100.6:53 -r 10.6.0.3:53 -m\n"
    "-A -u 198.51.100.6:54 -s mh -o\n-a -u 198.51.100.6:54 -r 10.6.0.1:54 -i\n"
    "-A -u 198.51.100.6:55 -s sh -o\n-a -u 198.51.100.6:55 -r 10.6.0.1:55 -m\n"
    "-A -u 198.51.100.6:500 -s rr\n-a -u 198.51.100.6:500 -r 10.6.0.4:500 -m\n"
    "-A -f 9 -s rr -p 60\n-a -f 9 -r 10.9.0.1:0 -m\n-a -f 9 -r 10.9.0.2:0 -m\n"
    "-A -t [2001:db8:f::1]:80 -s mh -b mh-port\n"
    "-a -t [2001:db8:f::1]:80 -r [2001:db8:1::1]:8080 -m\n"
    "-A -u [2001:db8:f::1]:53 -s rr\n-a -u [2001:db8:f::1]:53 -r [2001:db8:1::1]:53 -g\n"
    "-A -t [2001:db8:f::2]:80 -s rr\n-a -t [2001:db8:f::2]:80 -r [2001:db8:2::1]:80 -g\n"
    "-A -t [2001:db8:f::3]:80 -s rr\n-a -t [2001:db8:f::3]:80 -r [2001:db8:3::1]:80 -i\n"
    "-a -t [2001:db8:f::3]:80 -r 10.3.0.1:80 -i\n"
    "-a -t [2001:db8:f::3]:80 -r [2001:db8:3::2]:80 -i --tun-type gre\n"
    "-A -t [2001:db8:f::5]:21 -s rr -p 60\n-a -t [2001:db8:f::5]:21 -r [2001:db8:5::1]:21 -m\n";

/// Applied one at a time; those that do not fit what is configured are refused, which is fine.
inline constexpr const char* kSceneEdits[] = {
    "-d -t 198.51.100.1:80 -r 10.1.0.2:8080\n",
    "-a -t 198.51.100.1:80 -r 10.1.0.2:8080 -m\n",
    "-e -t 198.51.100.1:80 -r 10.1.0.1:8080 -m -w 0\n",
    "-e -t 198.51.100.2:80 -r 10.2.0.1:80 -m\n",
    "-e -t 198.51.100.2:80 -r 10.2.0.1:80 -g\n",
    "-e -t 198.51.100.3:80 -r 10.3.0.1:80 -i --tun-type gre\n",
    "-E -u 198.51.100.1:53 -s mh\n",
    "-E -u 198.51.100.1:53 -s rr -o\n",
    "-E -t 198.51.100.4:0 -s rr -p 60 -M 255.255.0.0\n",
    "-E -t 198.51.100.4:0 -s rr\n",
    "-D -u [2001:db8:f::1]:53\n",
    "-D -t 198.51.100.1:80\n",
    "-D -f 9\n",
    "--set 900 120 300\n",
    "--sysctl drop_packet=1\n",
    "--sysctl drop_packet=3\n",
    "--sysctl drop_entry=3\n",
    "--sysctl secure_tcp=3\n",
    "--sysctl expire_nodest_conn=1\n",
    "--sysctl expire_quiescent_template=1\n",
    "--sysctl nat_icmp_send=1\n",
    "--sysctl schedule_icmp=1\n",
    "--sysctl sloppy_tcp=1\n",
    "--sysctl sloppy_sctp=1\n",
    "--sysctl pmtu_disc=0\n",
    "--sysctl conn_reuse_mode=0\n",
    "--sysctl amemthresh=100000000\n",
    "-C\n",
};

inline std::vector<test::Rig::Settings> scene_settings() {
  std::vector<test::Rig::Settings> all(kScenes);
  for (auto& settings : all) {
    settings.ring = 256;
    // Small tables are soon built, so that a run that edits rules is not much longer.
    settings.schedulers.maglev_slots = 251;
    settings.schedulers.mh_table_index = 8;
  }
  all[1].workers = 2;
  all[2].sessions = 16;
  all[2].full = ipvs::FullPolicy::kEvict;
  all[3].sessions = 16;
  all[3].full = ipvs::FullPolicy::kStateless;
  all[4].masquerade = *parse_address("192.0.2.9");
  all[4].local_ports = {20000, 20063};
  all[4].mtu = 600;
  all[5].workers = 3;
  all[5].masquerade = *parse_address("192.0.2.9");
  all[6].sessions = 16;
  all[6].workers = 2;
  all[6].mtu = 1400;
  all[7].kernel_rate = 100;
  all[7].any_mac = false;
  all[7].express = false;
  return all;
}

/// A scene that is made when it is first wanted, and stays.
inline test::Rig& scene(unsigned number) {
  static const std::vector<test::Rig::Settings> settings = scene_settings();
  static std::vector<test::Rig*> rigs(settings.size());
  test::Rig*& rig = rigs[number % rigs.size()];
  if (rig) return *rig;
  rig = new test::Rig(settings[number % rigs.size()]);
  for (const char* rule :
       {"9 proto tcp to 198.51.100.9 ports 8000-8010", "9 proto udp to 198.51.100.9"})
    rig->board->marks.add(*ipvs::parse_mark_rule(rule), ipvs::MarkTable::kAnyPort);
  for (const char* rule :
       {"tcp 198.51.100.1:80 1200", "tcp [2001:db8:f::2]:80 auto", "fwmark 9 auto"})
    MUST(rig->board->mss_clamps.add(*ipvs::parse_mss_clamp(rule)));
  rig->rules(kSceneRules);
  return *rig;
}

}  // namespace shunt::fuzz
