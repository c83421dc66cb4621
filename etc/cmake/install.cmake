# cmake --install build/release --prefix /usr            the relay, its pages, units and sample
# cmake --install build/release --prefix /usr --component sendmail
#     the names that other programs call: /usr/sbin/sendmail and the rest. Apart, because a machine has them already
#     when it has another mail system.

include(GNUInstallDirs)

install(TARGETS sternpost RUNTIME DESTINATION ${CMAKE_INSTALL_SBINDIR})
install(FILES LICENSE THIRD-PARTY.md TYPE DOC)
# In /etc whatever the prefix, where the program looks for it; the administrator's own stays.
install(CODE "
    if(NOT EXISTS \"\$ENV{DESTDIR}/etc/sternpost/sternpost.conf\")
        file(INSTALL \"${CMAKE_SOURCE_DIR}/etc/sternpost.conf\" DESTINATION /etc/sternpost
            FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
    endif()")

file(GLOB pages CONFIGURE_DEPENDS etc/man/*.[1-8])
foreach(page IN LISTS pages)
    string(REGEX REPLACE ".*\\." "man" section ${page})
    set(component "")
    if(page MATCHES "/(sendmail|mailq|newaliases)\\.[1-8]$")
        set(component COMPONENT sendmail EXCLUDE_FROM_ALL)
    endif()
    install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/${section} ${component})
endforeach()

file(GLOB units CONFIGURE_DEPENDS etc/systemd/*.service etc/systemd/*.socket)
# With the path of the program below the prefix of the installation, which is known only then.
foreach(unit IN LISTS units)
    get_filename_component(name ${unit} NAME)
    install(CODE "
        file(READ \"${unit}\" text)
        string(REPLACE \"/usr/sbin/sternpost\" \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_SBINDIR}/sternpost\" text \"\${text}\")
        file(WRITE \"${CMAKE_BINARY_DIR}/units/${name}\" \"\${text}\")
        file(INSTALL \"${CMAKE_BINARY_DIR}/units/${name}\" DESTINATION \"\${CMAKE_INSTALL_PREFIX}/lib/systemd/system\")")
endforeach()
file(GLOB users CONFIGURE_DEPENDS etc/systemd/sysusers.d/*.conf)
install(FILES ${users} DESTINATION lib/sysusers.d)
file(GLOB folders CONFIGURE_DEPENDS etc/systemd/tmpfiles.d/*.conf)
install(FILES ${folders} DESTINATION lib/tmpfiles.d)

foreach(link sbin/sendmail lib/sendmail bin/mailq bin/newaliases)
    install(CODE "
        get_filename_component(folder \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${link}\" DIRECTORY)
        file(MAKE_DIRECTORY \${folder})
        file(CREATE_LINK ../${CMAKE_INSTALL_SBINDIR}/sternpost \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${link}\" SYMBOLIC)
        message(STATUS \"Installing: \$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${link}\")"
        COMPONENT sendmail EXCLUDE_FROM_ALL)
endforeach()
